// node workers.js EXTENSION WAY: worker threads that load the extension, call a function, and end
// in some way. Prints how they ended.
const { Worker, isMainThread, workerData, parentPort } = require("worker_threads");
const Database = require("better-sqlite3");

const [extension, way] = isMainThread ? process.argv.slice(2) : workerData;
const ROWS =
  "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i <= 100) " +
  "SELECT vm_udf('of_a_worker', i) AS value FROM n";

function run() {
  const worker = new Worker(__filename, { workerData: [extension, way] });
  return new Promise((resolve) => {
    let sum;
    worker.on("message", (message) => {
      sum = message;
      if (way === "terminate") worker.terminate();
    });
    worker.on("error", (error) => resolve(String(error)));
    worker.on("exit", (code) => resolve(way === "terminate" ? `${sum}` : `${code} ${sum}`));
  });
}

async function main() {
  const ends = [];
  for (let round = 0; round < 3; round++)
    ends.push(...(await Promise.all([run(), run(), run(), run()])));
  console.log([...new Set(ends)].join(" | "));
}

function work() {
  const connection = new Database(":memory:");
  connection.loadExtension(extension);
  let sum = 0;
  for (const row of connection.prepare(ROWS).iterate()) sum += row.value;
  if (way === "close") {
    connection.close();
  } else {
    const open = connection.prepare(ROWS).iterate();
    for (let i = 0; i < 20; i++) open.next();
  }
  parentPort.postMessage(sum);
  if (way === "terminate") for (;;) sum += 1;
  if (way === "exit") process.exit(0);
}

if (isMainThread) main();
else work();
