// A foreign Modbus TCP server for the tests: npm modbus-serial's own stack.
//
// node modbus_server.js PORT JSON
//   JSON: {"holding": {"100": 7, ...}, "input": {...}, "coil": {"3": 1}, "discrete": {...}}
// Addresses that are not listed are answered with exception 2 (illegal data address).
// It answers every unit id, prints one line "ready" once clients may connect, and ends when its standard input closes.
"use strict";
const { ServerTCP } = require("modbus-serial");

const port = Number(process.argv[2]);
const image = JSON.parse(process.argv[3]);

function reader(table, convert) {
    const values = image[table] || {};
    return (address) => {
        if (!(address in values)) throw { modbusErrorCode: 2, msg: `no ${table} ${address}` };
        return convert(values[address]);
    };
}

const server = new ServerTCP(
    {
        getHoldingRegister: reader("holding", Number),
        getInputRegister: reader("input", Number),
        getCoil: reader("coil", Boolean),
        getDiscreteInput: reader("discrete", Boolean),
    },
    { host: "127.0.0.1", port, unitID: 255 },
);
server.on("initialized", () => console.log("ready"));
server.on("serverError", (error) => {
    console.error(error);
    process.exit(1);
});
server.on("socketError", () => {});
process.stdin.on("end", () => process.exit(0));
process.stdin.resume();
