// A foreign OPC UA server to be killed, with security and a ledger: see tests/support/opcua_mortal.py and opcua_ledger.py.
//
// node opcua_mortal.js PORT FOLDER COUNT
//   FOLDER   where its certificate and the ledger live
// The Doubles ns=1;s=v0 ... get the value 1000 x life + k every 700 ms. It prints "built" when its nodes are there, and "ready" when
// the line LIFE has come on standard input and clients may connect.
"use strict";
const fs = require("node:fs");
const path = require("node:path");
const readline = require("node:readline");
const {
    OPCUAServer, OPCUACertificateManager, Variant, DataType, SecurityPolicy, MessageSecurityMode, StatusCodes, Subscription,
} = require("node-opcua");

const PERIOD_MS = 700;
const [port, folder, count] = [Number(process.argv[2]), process.argv[3], Number(process.argv[4])];
const ledger = fs.openSync(path.join(folder, "ledger"), "a");

const acknowledge = Subscription.prototype.acknowledgeNotification;
Subscription.prototype.acknowledgeNotification = function noted(number) {
    const handles = new Map();
    for (const change of this.getMessageForSequenceNumber(number)?.notificationData ?? []) {
        for (const item of change.monitoredItems ?? []) {
            const value = item.value.value.value;
            if (!handles.has(value)) handles.set(value, []);
            handles.get(value).push(item.clientHandle);
        }
    }
    for (const [value, some] of handles) fs.writeSync(ledger, `acked ${value} ${some.join(",")}\n`);
    return acknowledge.call(this, number);
};

async function main() {
    const server = new OPCUAServer({
        port, host: "127.0.0.1", hostname: "127.0.0.1", resourcePath: "/mortal",
        securityPolicies: [SecurityPolicy.None, SecurityPolicy.Basic256Sha256],
        securityModes: [MessageSecurityMode.None, MessageSecurityMode.SignAndEncrypt],
        allowAnonymous: true, disableDiscovery: true,
        serverCertificateManager: new OPCUACertificateManager({
            rootFolder: path.join(folder, "server"), automaticallyAcceptUnknownCertificate: true,
        }),
        userCertificateManager: new OPCUACertificateManager({ rootFolder: path.join(folder, "user") }),
    });
    await server.initialize();
    const namespace = server.engine.addressSpace.getOwnNamespace();
    const line = namespace.addObject({ organizedBy: server.engine.addressSpace.rootFolder.objects, browseName: "Line" });
    const variables = [...Array(count).keys()].map((i) => namespace.addVariable({
        componentOf: line, browseName: `v${i}`, nodeId: `s=v${i}`, dataType: DataType.Double, minimumSamplingInterval: 10,
    }));
    const show = (value) => {
        const now = new Date();
        fs.writeSync(ledger, `show ${value} ${now.getTime() / 1000}\n`);
        for (const one of variables) one.setValueFromSource(new Variant({ dataType: DataType.Double, value }), StatusCodes.Good, now);
    };
    readline.createInterface({ input: process.stdin }).once("line", async (life) => {
        await new Promise((resolve) => setTimeout(resolve, 1000 - (Date.now() % 1000)));
        let value = 1000 * Number(life);
        show(value);
        await server.start();
        console.log("ready");
        setInterval(() => show(++value), PERIOD_MS);
    });
    console.log("built");
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
