require('express')().get('/', (request, response) => response.send('hello from express')).listen(3000);
