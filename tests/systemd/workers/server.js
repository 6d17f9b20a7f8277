// Serves on the listener it inherits as descriptor 3, without a library.
const http = require('http');
http.createServer((request, response) => response.end(`node pid ${process.pid}\n`)).listen({fd: 3});
process.on('SIGTERM', () => process.exit(0));
