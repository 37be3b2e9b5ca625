// Prints as JSON what tests an installed suite has: node describe.mjs TESTS_FOLDER [SUITE_FILE ...]
// Further suite files are those that its command line adds to its index.
import path from 'node:path'
import { pathToFileURL } from 'node:url'

const [folder, ...more] = process.argv.slice(2)
const load = async file => (await import(pathToFileURL(path.join(folder, file)))).default
const suites = [...await load('index.mjs')]
for (const file of more) suites.push(await load(file))
const told = suites.flatMap(suite => suite.tests.map(test => ({
  id: test.id,
  suite: suite.id,
  kind: test.kind || 'required',
  depends_on: test.depends_on || [],
  browser_only: test.browser_only === true
})))
console.log(JSON.stringify(told))
