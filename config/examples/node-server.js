// A worker: the listening socket is inherited, its number is 3 plus its place in LISTEN_FDNAMES.
'use strict';
const http = require('http');

const names = (process.env.LISTEN_FDNAMES || '').split(':');
const place = names.indexOf('http');
if (place < 0) {
  console.error('no listener http: start me with topsman');
  process.exit(78); // "my configuration is wrong": topsman does not try again
}

const who = `${process.env.TOPSMAN_POOL}/${process.env.TOPSMAN_SLOT}`;
const server = http.createServer((request, response) => {
  response.end(`${who} pid ${process.pid}\n`);
});
server.listen({ fd: 3 + place }, () => console.log('serving'));

// Take no new connections, answer what was asked, and leave.
process.on('SIGTERM', () => {
  server.close(() => process.exit(0));
  if (server.closeIdleConnections) server.closeIdleConnections();
});
