// Runs the suite, and what later versions of it ask (later.mjs), against the cache at the URL given as argument and writes {test id: true | [kind of error, message]} as JSON to
// the file given as second argument. Standard output and error stay for what the suite has to say.

import fs from 'node:fs'
import process from 'node:process'
import fetch from 'node-fetch'
import { getResults, runTests } from 'http-cache-tests/client/runner.mjs'
import suites from 'http-cache-tests/tests/index.mjs'
import later from './later.mjs'

const [base, file] = process.argv.slice(2)
await runTests([...suites, ...later], fetch, false, base)
fs.writeFileSync(file, JSON.stringify(getResults(), null, 1) + '\n')
