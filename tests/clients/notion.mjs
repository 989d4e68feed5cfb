// The Notion emulator as Notion's own client sees it. Its answers are written to a file that `tsc` checks against the types.
import { strict as assert } from "node:assert"
import { writeFileSync } from "node:fs"
import { APIErrorCode, Client, collectAllDataSourceRows, isFullPage, isNotionClientError, iterateAllDataSourceRows } from "@notionhq/client"

const base = process.env.NOTION_BASE_URL
const notion = new Client({ auth: process.env.NOTION_TOKEN, baseUrl: base, notionVersion: "2026-03-11", retry: false, logLevel: "error" })
const typed = []

async function control(method, path, body) {
  const answer = await fetch(`${base}/control/${path}`, { method, body: body && JSON.stringify(body) })
  assert.equal(answer.status, 200, `${path}: ${await answer.clone().text()}`)
  return answer.json()
}

async function refused(code, call) {
  try {
    await call()
  } catch (error) {
    assert.ok(isNotionClientError(error), String(error))
    assert.equal(error.code, code)
    return error
  }
  assert.fail(`${code} was expected`)
}

// `request_id` stands in every recorded answer and in none of the published types.
function keep(type, answer) {
  const { request_id, ...published } = answer
  assert.match(request_id, /^[0-9a-f-]{36}$/)
  typed.push([type, published])
  return answer
}

const { database_id, data_source_id } = await control("POST", "databases", { name: "Clients", data_source: "Clients" })
const other = await control("POST", "databases", { name: "Parts", data_source: "Parts" })
const properties = {
  Text: { rich_text: [{ text: { content: "Doe" } }] }, Number: { number: 1.5 }, Done: { checkbox: true },
  Due: { date: { start: "2026-11-22" } }, Tag: { select: { name: "a" } }, Tags: { multi_select: [{ name: "a" }, { name: "b" }] },
  State: { status: { name: "Open" } }, Link: { url: "https://jane.doe.de" }, Mail: { email: "jane@example.com" },
  Phone: { phone_number: "1" }, Files: { files: [{ name: "f", external: { url: "https://example.com/f" } }] },
}
await control("POST", `data_sources/${data_source_id}/rows`, { title: "Row", properties, count: 230 })
await control("PATCH", "settings", { result_cap: 100 })

const checks = {
  async every_row_is_iterated_beyond_the_cap() {
    // Rows of one minute can't be split by the client's windows, so each has a minute of its own.
    const rows = await control("GET", `data_sources/${data_source_id}/rows`)
    for (const [index, row] of rows.entries()) {
      const created_time = new Date(Date.UTC(2026, 0, 1, 0, index)).toISOString()
      await control("PATCH", `rows/${row.id}`, { created_time })
    }
    const seen = new Set()
    for await (const row of iterateAllDataSourceRows(notion, { data_source_id })) seen.add(row.id)
    assert.equal(seen.size, 230)
    assert.equal((await collectAllDataSourceRows(notion, { data_source_id: other.data_source_id })).length, 0)
  },
  async containers_and_rows_are_read() {
    keep("GetDatabaseResponse", await notion.databases.retrieve({ database_id }))
    keep("GetDataSourceResponse", await notion.dataSources.retrieve({ data_source_id }))
    keep("GetSelfResponse", await notion.users.me({}))
    const answer = keep("QueryDataSourceResponse", await notion.dataSources.query({ data_source_id, page_size: 2 }))
    assert.equal(answer.results.length, 2)
    const page = keep("GetPageResponse", await notion.pages.retrieve({ page_id: answer.results[0].id }))
    assert.ok(isFullPage(page))
    for (const value of Object.values(page.properties)) {
      keep("GetPagePropertyResponse", await notion.pages.properties.retrieve({ page_id: page.id, property_id: value.id }))
    }
  },
  async filters_find_what_they_say() {
    const find = async (filter) => (await notion.dataSources.query({ data_source_id, page_size: 1, filter })).results.length
    assert.equal(await find({ property: "Link", rich_text: { contains: "Doe" } }), 1)
    assert.equal(await find({ property: "Number", number: { does_not_equal: 1.5 } }), 0)
    assert.equal(await find({ property: "Due", date: { after: "2026-11-22" } }), 0)
  },
  async errors_have_their_codes() {
    const row = (await notion.dataSources.query({ data_source_id, page_size: 1 })).results[0].id
    const wrong = await refused(APIErrorCode.ValidationError, () => notion.databases.retrieve({ database_id: row }))
    assert.match(wrong.message, /is a page, not a database/)
    await refused(APIErrorCode.ObjectNotFound, () => notion.users.retrieve({ user_id: "745e79dd-3e43-40de-9d51-39357c1c428f" }))
    const stranger = new Client({ auth: "wrong", baseUrl: base, retry: false, logLevel: "error" })
    await refused(APIErrorCode.Unauthorized, () => stranger.users.me({}))
    await control("POST", "answers", { answer: { rate_limited: { reason: "public_api_request_rate_limit", retry_after_seconds: 1 } } })
    await refused(APIErrorCode.RateLimited, () => notion.users.me({}))
  },
}

let failed = 0
for (const [name, check] of Object.entries(checks)) {
  try {
    await check()
  } catch (error) {
    failed += 1
    console.error(`@notionhq/client: ${name} failed\n${error.stack}`)
  }
}
console.log(`@notionhq/client: ${Object.keys(checks).length - failed} passed, ${failed} failed`)

const types = [...new Set(typed.map(([type]) => type))]
const values = typed.map(([type, answer], index) => `export const answer${index}: ${type} = ${JSON.stringify(answer, null, 1)}`)
writeFileSync(process.env.ANSWERS, `import type { ${types.join(", ")} } from "@notionhq/client"\n\n${values.join("\n")}\n`)
console.log(`types: ${typed.length} answers to check`)
process.exit(failed ? 1 : 0)
