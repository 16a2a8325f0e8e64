// SPDX-License-Identifier: Apache-2.0

// A thin HTTP face for ClickHouse as npm chdb embeds it: what of the protocol of a
// server the program under test speaks. The data is in the directory that is the
// argument. It prints its port and ends with its standard input.
const fs = require('fs'), http = require('http'), os = require('os'), path = require('path');
const { Session } = require('chdb');
const session = new Session(process.argv[2]);
const user = process.env.USER_NAME || '', password = process.env.USER_PASSWORD || '';
let uploads = 0;
const set = {};

// run answers one request, as src/Server/HTTPHandler.cpp does.
async function run(req, res, body) {
	const url = new URL(req.url, 'http://x');
	const basic = 'Basic ' + Buffer.from(user + ':' + password).toString('base64');
	if (user && req.headers.authorization !== basic) {
		res.writeHead(403, { 'X-ClickHouse-Exception-Code': '516' });
		res.end(`Code: 516. DB::Exception: ${user}: Authentication failed: password is incorrect. (AUTHENTICATION_FAILED)\n`);
		return;
	}
	let sql = url.searchParams.get('query'), upload = '';
	if (sql === null) {
		sql = body.toString();
	} else if (body.length > 0) { // what is inserted: the engine reads it as it came
		upload = path.join(os.tmpdir(), `upload-${process.pid}-${uploads++}`);
		fs.writeFileSync(upload, body);
		const [, head, format] = /^([^]*)\sFORMAT\s+(\w+)\s*$/.exec(sql);
		const source = structure => `file('${upload}', ${format}${structure})`;
		if (/\binput\(/.test(head)) {
			sql = head.replace(/\binput\(('[^]*')\)/, (_, structure) => source(', ' + structure));
		} else {
			const columns = /\(([^)]*)\)\s*$/.exec(head);
			sql = `${head} SELECT ${columns ? columns[1] : '*'} FROM ${source('')}`;
		}
	}
	const changed = [];
	let prefix = '';
	for (const [k, v] of url.searchParams) {
		if (['query', 'wait_end_of_query', 'async_insert', 'wait_for_async_insert'].includes(k) || set[k] === v) continue;
		set[k] = v; // of the session, until it is another
		if (k === 'database') prefix += `USE ${v}; `;
		else changed.push(`${k} = '${v}'`);
	}
	if (changed.length > 0) prefix += `SET ${changed.join(', ')}; `;
	try {
		const out = await session.queryAsync(prefix + sql, { format: 'TabSeparated' });
		const bytes = Buffer.from(out.bytes());
		res.writeHead(200, { 'Content-Length': bytes.length });
		res.end(bytes);
	} catch (e) {
		for (const k in set) delete set[k]; // it may have been of these
		const code = (/Code: (\d+)/.exec(e.message) || [, '1002'])[1];
		res.writeHead({ 60: 404, 81: 404 }[code] || 500, { 'X-ClickHouse-Exception-Code': code });
		res.end(e.message + '\n');
	} finally {
		if (upload) fs.unlinkSync(upload);
	}
}

let last = Promise.resolve(); // one session: one request after the other
const server = http.createServer((req, res) => {
	const parts = [];
	req.on('data', part => parts.push(part));
	req.on('end', () => { last = last.then(() => run(req, res, Buffer.concat(parts))).catch(e => { res.destroy(); console.error(e); }); });
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
process.stdin.on('end', () => process.exit(0)).resume();
