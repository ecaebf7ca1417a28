// Sums up what run.mjs wrote: report.mjs EXPECTED NAME=FILE… The first NAME is the one that is judged: its unexpected failures, and
// expected ones that passed, make the exit status 1.

import fs from 'node:fs'
import process from 'node:process'
import suites from 'http-cache-tests/tests/index.mjs'
import later from './later.mjs'

const kinds = ['required', 'optimal', 'check']
const testsOf = suites => new Map(suites.flatMap(s => s.tests).filter(t => !t.browser_only).map(t => [t.id, { kind: 'required', ...t }]))
const published = testsOf(suites)
const laterOnes = testsOf(later)
const tests = new Map([...published, ...laterOnes])

// outcome follows the suite's own rule: what a test depends on must have passed, else it says nothing about this cache. A check
// has no right answer; it passes when the cache does what is asked.
function outcome (results, id) {
  const test = tests.get(id)
  if (results[id] === undefined) return 'failed'
  if ((test.depends_on ?? []).some(d => outcome(results, d) !== 'passed')) return 'skipped'
  return results[id] === true ? 'passed' : 'failed'
}

function message (result) {
  return Array.isArray(result) ? result.join(': ') : 'did not run'
}

function count (results, kind, among) {
  const n = { passed: 0, failed: 0, skipped: 0 }
  for (const [id, test] of among) {
    if (test.kind === kind) n[outcome(results, id)]++
  }
  return n
}

// readExpected returns {test id: reason} of the lines "ID REASON"; # begins a comment.
function readExpected (file) {
  const expected = new Map()
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    if (line.trim() === '' || line.startsWith('#')) continue
    const [, id, reason] = line.match(/^(\S+)\s+(\S.*)$/) ?? []
    if (!tests.has(id) || tests.get(id).kind === 'check') throw new Error(`${file}: no required or optimal test and a reason in the line: ${line}`)
    expected.set(id, reason)
  }
  return expected
}

function printTable (runs) {
  console.log('| cache | ' + kinds.map(k => `${k} passed | failed | skipped`).join(' | ') + ' |')
  console.log('|---' + '|---:'.repeat(3 * kinds.length) + '|')
  const rows = runs.flatMap(({ name, results }) => [[name, results, published], [`${name}, later.mjs`, results, laterOnes]])
  for (const [name, results, among] of rows) {
    const cells = kinds.map(k => count(results, k, among)).map(n => `${n.passed} | ${n.failed} | ${n.skipped}`)
    console.log(`| ${name} | ${cells.join(' | ')} |`)
  }
  console.log('\nskipped: the cache does not have the behaviour that the test builds on (stale responses after an error, mostly)\n')
}

// judge prints the failures of required and optimal tests and returns how many surprises there are among them.
function judge ({ name, results }, expected) {
  let surprises = 0
  for (const [id, test] of tests) {
    const what = outcome(results, id)
    if (test.kind === 'check' || (what === 'failed') === expected.has(id)) {
      if (what === 'failed' && test.kind !== 'check') {
        console.log(`expected    ${test.kind} ${id}: ${message(results[id])}\n            ${expected.get(id)}`)
      }
      continue
    }
    surprises++
    if (what === 'failed') console.log(`UNEXPECTED  ${test.kind} ${id}: ${message(results[id])}\n            ${test.name}`)
    else console.log(`NOW ${what.toUpperCase()}  ${test.kind} ${id}: take it out of the list of expected failures`)
  }
  console.log(`\n${name}: ${surprises} surprises, ${expected.size} failures expected`)
  return surprises
}

const [expectedFile, ...named] = process.argv.slice(2)
const runs = named.map(arg => {
  const [name, file] = arg.split('=')
  return { name, results: JSON.parse(fs.readFileSync(file)) }
})
printTable(runs)
process.exitCode = judge(runs[0], readExpected(expectedFile)) === 0 ? 0 : 1
