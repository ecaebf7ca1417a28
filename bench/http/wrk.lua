-- The requests that wrk sends: "hit SIZE OBJECTS" asks for a few URLs in turn, "miss NAME" for a new one each time. Afterwards it
-- prints one line of JSON that wrk.go reads.

local threads = 0

function setup(thread)
  thread:set("thread", threads)
  threads = threads + 1
end

function init(args)
  kind, name, n = args[1], args[2], 0
  hits = {}
  if kind == "hit" then
    for i = 1, tonumber(args[3]) do
      hits[i] = wrk.format("GET", "/hit/" .. name .. "/" .. i)
    end
  end
end

function request()
  n = n + 1
  if kind == "hit" then
    return hits[n % #hits + 1]
  end
  return wrk.format("GET", "/miss/" .. name .. "-" .. thread .. "-" .. n)
end

function done(summary, latency)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"duration_us":%d,"bytes":%d,"p50_us":%d,"p99_us":%d,"errors":%d}\n',
    summary.requests, summary.duration, summary.bytes, latency:percentile(50), latency:percentile(99),
    e.connect + e.read + e.write + e.status + e.timeout))
end
