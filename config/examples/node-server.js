// A worker: the listening socket is inherited, its number is 3 plus its place in LISTEN_FDNAMES.
'use strict';
const http = require('http');
const net = require('net');

const names = (process.env.LISTEN_FDNAMES || '').split(':');
const place = names.indexOf('http');
if (place < 0) {
  console.error('no listener http: start me with topsman');
  process.exit(78); // "my configuration is wrong": topsman does not try again
}

const who = `${process.env.TOPSMAN_POOL}/${process.env.TOPSMAN_SLOT}`;
let leaving = false;
const server = http.createServer((request, response) => {
  if (leaving) response.setHeader('Connection', 'close');
  response.end(`${who} pid ${process.pid}\n`);
});
server.listen({ fd: 3 + place }, () => console.log('serving'));

// Take no new connections, tell the kept ones on their next answer, and leave when the last is closed.
// Not http's own close(): since Node 19 it closes idle connections, on which a request may be on its way.
process.on('SIGTERM', () => {
  leaving = true;
  net.Server.prototype.close.call(server, () => process.exit(0));
});
