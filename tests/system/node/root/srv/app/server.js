const http = require('http');
http.createServer((request, response) => {
  console.log(`${request.socket.remoteAddress} ${request.url}`);
  response.end(`hello ${request.socket.remoteAddress}\n`);
}).listen(3000);
process.on('SIGTERM', () => process.exit(0));
