const app = require('fastify')();
app.get('/', async () => 'hello from fastify');
app.listen({ port: 3000, host: '::' });
