// Tasks per second of Piscina, n => n + 1 on two threads, with 256 of them in flight. This file is
// the worker too. Prints JSON; exits with 3 where there is no piscina.

'use strict';
const { isMainThread } = require('node:worker_threads');

if (!isMainThread) {
  module.exports = (n) => n + 1;
} else {
  let Piscina;
  try {
    ({ Piscina } = require('piscina'));
  } catch {
    process.exit(3);
  }
  const kInFlight = 256;
  const tasks = Number(process.argv[2]);

  const run = async (pool, count) => {
    let next = 0;
    const feed = async () => {
      while (next < count) {
        const n = next++;
        if ((await pool.run(n)) !== n + 1) {
          throw new Error(`${n} came back wrong`);
        }
      }
    };
    await Promise.all(Array.from({ length: kInFlight }, feed));
  };

  (async () => {
    const pool = new Piscina({
      filename: __filename, minThreads: 2, maxThreads: 2, concurrentTasksPerWorker: 16,
    });
    await run(pool, tasks / 10);  // until it is compiled
    const began = process.hrtime.bigint();
    await run(pool, tasks);
    const took = Number(process.hrtime.bigint() - began) / 1e9;
    await pool.destroy();
    console.log(JSON.stringify({ tasks_per_s: tasks / took }));
  })();
}
