// aedes, which hangs up for a message that its access list forbids. Arguments: port, what forbidden topics contain.
// Prints "listening" when it does; every message that it takes is one line "topic length".
import { createServer } from 'node:net'
import { Aedes } from 'aedes'

const [port, forbidden] = process.argv.slice(2)
const broker = await Aedes.createBroker()
broker.authorizePublish = (client, packet, done) => done(packet.topic.includes(forbidden) ? new Error('not allowed') : null)
broker.on('publish', (packet, client) => { if (client) console.log(packet.topic, packet.payload.length) })
createServer(broker.handle).listen(Number(port), '127.0.0.1', () => console.log('listening'))
