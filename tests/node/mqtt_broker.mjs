// aedes, a broker that is not mosquitto, over WebSocket (ws) or TLS + WebSocket. Arguments: port [certificate key].
// Prints "listening" when it does; every message that it gets is one line "topic length".
import { createServer } from 'node:http'
import { createServer as createSecureServer } from 'node:https'
import { readFileSync } from 'node:fs'
import { Aedes } from 'aedes'
import { WebSocketServer, createWebSocketStream } from 'ws'

const [port, cert, key] = process.argv.slice(2)
const broker = await Aedes.createBroker()
const server = cert ? createSecureServer({ cert: readFileSync(cert), key: readFileSync(key) }) : createServer()
const sockets = new WebSocketServer({ server, path: '/mqtt', handleProtocols: (names) => names.has('mqtt') && 'mqtt' })
sockets.on('connection', (socket, request) => {
  broker.handle(createWebSocketStream(socket), request)
  const beat = setInterval(() => socket.ping('are you there'), 100)
  socket.on('pong', () => console.log('pong'))
  socket.on('close', (code) => { clearInterval(beat); console.log('closed', code) })
})
broker.on('publish', (packet, client) => { if (client) console.log(packet.topic, packet.payload.length) })
server.listen(Number(port), '127.0.0.1', () => console.log('listening'))
