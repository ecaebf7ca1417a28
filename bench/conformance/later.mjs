// What versions of the suite after the published one ask beyond it, or contrary to it, in the suite's own form: each test sends one
// response into the cache, waits for three seconds, and asks again.

const tests = []
const date = ['Date', 0]

function add (id, kind, requests) {
  tests.push({ name: id, id: `later-${id}`, kind, requests })
}

// reuse says whether a response with these fields is to be sent again.
function reuse (id, kind, fields, cached, first = {}, second = {}) {
  add(id, kind, [
    { response_headers: fields, setup: true, pause_after: true, ...first },
    { expected_type: cached ? 'cached' : 'not_cached', ...second }
  ])
}

// Age: of a list the first member counts, and what is invalid is ignored.
for (const [lines, cached] of [
  [['abc'], true], [['-7200'], true], [['7200.0'], true], [['7200, 0'], false], [['0, 7200'], true], [['7200', '0'], false],
  [['0', '7200'], true], [['0, 0'], true], [['0', '0'], true], [['3000', '3000'], true],
  [['2147483647'], false], [['2147483648'], false], [['2147483649'], false]
]) {
  reuse(`age ${lines.join(' + ')}`, 'required', [date, ['Cache-Control', 'max-age=3600'], ...lines.map(v => ['Age', v, false])], cached)
}

// CDN-Cache-Control replaces Cache-Control and Expires, if it is valid.
const nothing = []
const stale = [['Cache-Control', 'max-age=1']]
const fresh = [['Cache-Control', 'max-age=10000'], ['Expires', 10000], date]
const noStore = [['Cache-Control', 'no-store']]
for (const [targeted, others, kind, cached] of [
  ['max-age=3600', nothing, 'optimal', true], ['max-age=2147483648', nothing, 'optimal', true], ['max-age=99999999999', nothing, 'optimal', true],
  ['max-age=3600', [date, ['Age', '7200']], 'required', false], ['max-age=0', nothing, 'required', false],
  ['foobar, max-age=3600', nothing, 'optimal', true], ['max-age=3600', [date, ['Expires', -10000]], 'optimal', true],
  ['max-age=3600', [date, ['Expires', '0', false]], 'optimal', true], ['max-age=0', [date, ['Expires', 10000]], 'required', false],
  ['max-age=3600', stale, 'optimal', true], ['max-age=1', fresh, 'required', false], ['private', fresh, 'required', false],
  ['no-cache', fresh, 'required', false], ['no-store', fresh, 'required', false], ['max-age=10000', noStore, 'required', true],
  ['max-age=10000, &&&&&', noStore, 'required', false], ['max-age="10000"', noStore, 'required', false],
  ['max-age =100', stale, 'check', false], ['max-age= 100', stale, 'check', false]
]) {
  const id = `cdn ${targeted} beside ${others.map(f => f.slice(0, 2).join(' ')).join(', ') || 'nothing'}`
  reuse(id, kind, [['CDN-Cache-Control', targeted, false], ...others], cached)
}

// Expires: in any case, but otherwise by the grammar.
for (const value of [
  'Tue, 19 Jan 2038 14:14:08 GMT', 'Sun, 21 Nov 2286 04:46:39 GMT', 'Thursday, 18-Aug-50 02:01:18 GMT', 'Thu Aug  8 02:01:18 2050',
  'THU, 18 Aug 2050 02:01:18 GMT', 'Thu, 18 AUG 2050 02:01:18 GMT', 'Thu, 18 Aug 2050 02:01:18 gMT'
]) {
  reuse(`expires ${value}`, 'optimal', [date, ['Expires', value, false]], true)
}
for (const value of [
  'Thu, 18 Aug 2050 02:01:18 UTC', 'Thu, 18 Aug 2050 02:01:18 AEST', 'Thu, 18 Aug 50 02:01:18 GMT', 'Thu 18 Aug 2050 02:01:18 GMT',
  'Thu, 18  Aug  2050 02:01:18 GMT', 'Thu, 18-Aug-2050 02:01:18 GMT', 'Thu, 18 Aug 2050 02.01.18 GMT', 'Thu, 18 Aug 2050 2:01:18 GMT'
]) {
  reuse(`expires ${value}`, 'required', [date, ['Expires', value, false]], false)
}

// Cache-Control.
for (const [value, kind, cached] of [
  ['max-age=003600', 'required', true], ["max-age='3600'", 'required', false], ['max-age=3600, no-store, must-understand', 'optimal', true],
  ['extension="max-age=3600", max-age=1', 'required', false], ['max-age=1, extension="max-age=3600"', 'required', false]
]) {
  reuse(`cache-control ${value}`, kind, [['Cache-Control', value, false]], cached)
}
const odd = { response_status: [599, 'Whatever'] }
reuse('must-understand of an unknown status', 'required', [['Cache-Control', 'max-age=3600, no-store, must-understand']], false, odd, odd)

// What forbids a stale response makes an error of an origin that breaks off.
for (const directive of ['must-revalidate', 'proxy-revalidate', 'no-cache', 's-maxage=2']) {
  add(`stale against ${directive}`, 'required', [
    { response_headers: [['Cache-Control', `max-age=2, ${directive}`]], setup: true, pause_after: true },
    { disconnect: true, expected_status: 502, check_body: false, expected_response_headers_missing: ['server-request-count'] }
  ])
}
const etag = (value, cacheControl, check) => [['Cache-Control', cacheControl, check], ['ETag', value, check]]
reuse('stale-while-revalidate', 'optimal', etag('"abc"', 'max-age=1, stale-while-revalidate=3600', true), true)
add('stale-while-revalidate has an end', 'required', [
  { response_headers: etag('"abc"', 'max-age=1, stale-while-revalidate=4', true), setup: true, pause_after: true },
  { response_headers: etag('"def"', 'no-cache', false), setup: true, pause_after: true, expected_type: 'cached' },
  { expected_response_headers: [['client-request-count', '3']] }
])

// Validation.
add('If-None-Match before If-Modified-Since', 'required', [
  { response_headers: [date, ['Cache-Control', 'max-age=3600'], ['Last-Modified', -5000], ['ETag', '"a"']], setup: true, pause_after: true },
  { request_headers: [['If-None-Match', '"a"'], ['If-Modified-Since', -1]], magic_ims: true, expected_type: 'cached', expected_status: 304 }
])
add('fields of Vary in a validation', 'required', [
  { request_headers: [['Abc', '1']], response_headers: [date, ['Expires', 1], ['ETag', '"a"'], ['Vary', 'Abc']], setup: true, pause_after: true },
  { request_headers: [['Abc', '1']], expected_type: 'etag_validated', expected_request_headers: [['Abc', '1']] }
])
for (const name of ['Test-Header', 'X-Test-Header', 'Content-Foo', 'X-Content-Foo']) {
  const fields = value => [date, [name, value], ['Cache-Control', 'max-age=2']]
  add(`304 updates ${name}`, 'required', [
    { response_headers: [...fields('old'), ['ETag', '"a"']], setup: true, pause_after: true },
    { response_headers: [...fields('new'), ['ETag', '"a"']], expected_type: 'etag_validated', expected_response_headers: [[name, 'new']] },
    { response_headers: fields('new'), expected_type: 'cached', expected_response_headers: [[name, 'new']] }
  ])
}

export default [{ name: 'later', id: 'later', description: 'What later versions ask.', tests }]
