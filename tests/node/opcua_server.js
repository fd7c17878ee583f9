// A foreign OPC UA server for the tests: node-opcua's own stack, no security, nothing fetched or written outside its folder.
//
// node opcua_server.js PORT [JSON options]
//   count      numeric variables ns=1;s=v0 ... (types in turn: Double, Float, Int32, UInt16, Boolean, Int64)
//   period     ms between changes of all of them (0 = only on request)
//   limit      operations per call that the server allows (0 = none stated)
//   user       the one user that may log in, with the password "secret" ("" = anonymous)
//   token      ms that a secure channel's token lives (0 = node-opcua's ten minutes; it grants at least 2500)
//   history    values that each variable remembers (0 = no history)
//   folder     where the certificate store may live
// It prints one line "ready" once clients may connect, and ends when its standard input closes. Before that each line is a
// command: {"add": NAME, "value": NUMBER} and {"delete": NAME} create and delete the Double ns=1;s=NAME.
//
// Variable i holds k + i after the k-th change (Boolean: k + i odd), so that a value names its variable.
"use strict";
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");
const {
    OPCUAServer, OPCUACertificateManager, Variant, DataType, VariantArrayType, StatusCodes, SecurityPolicy,
    MessageSecurityMode, DataValue, standardUnits,
} = require("node-opcua");

const port = Number(process.argv[2]);
const options = { count: 300, period: 100, limit: 0, user: "", token: 0, history: 0, folder: "", ...JSON.parse(process.argv[3] || "{}") };
const types = [DataType.Double, DataType.Float, DataType.Int32, DataType.UInt16, DataType.Boolean, DataType.Int64];

function variant(i, k) {
    const dataType = types[i % types.length];
    const n = k + i;
    if (dataType === DataType.Boolean) return new Variant({ dataType, value: n % 2 === 1 });
    if (dataType === DataType.UInt16) return new Variant({ dataType, value: n % 65536 });
    if (dataType === DataType.Float) return new Variant({ dataType, value: n + 0.45 });
    if (dataType === DataType.Int64) return new Variant({ dataType, arrayType: VariantArrayType.Scalar, value: [0, n] });
    return new Variant({ dataType, value: n });
}

function addVariables(namespace, parent) {
    const variables = [];
    for (let i = 0; i < options.count; i++) {
        const variable = namespace.addVariable({
            componentOf: parent, browseName: `v${i}`, nodeId: `s=v${i}`, dataType: types[i % types.length],
            minimumSamplingInterval: 10,
        });
        if (options.history) namespace.addressSpace.installHistoricalDataNode(variable, { maxOnlineValues: options.history });
        variable.setValueFromSource(variant(i, 0));
        variables.push(variable);
    }
    const add = (name, dataType, value, extra) => namespace
        .addVariable({ componentOf: parent, browseName: name, nodeId: `s=${name}`, dataType, ...extra })
        .setValueFromSource(new Variant({ dataType, value, ...(extra || {}) }));
    add("text", DataType.String, "running");
    add("array", DataType.Double, new Float64Array([1, 2, 3]), { arrayType: VariantArrayType.Array, valueRank: 1 });
    add("time", DataType.DateTime, new Date());
    namespace.addAnalogDataItem({
        componentOf: parent, browseName: "analog", nodeId: "s=analog", dataType: DataType.Double, definition: "",
        engineeringUnits: standardUnits.degree_celsius, engineeringUnitsRange: { low: 0, high: 100 },
        value: new Variant({ dataType: DataType.Double, value: 20 }),
    });
    namespace.addVariable({ componentOf: parent, browseName: "broken", nodeId: "s=broken", dataType: DataType.Double })
        .setValueFromSource(new Variant({ dataType: DataType.Double, value: 1 }), StatusCodes.BadSensorFailure);
    return variables;
}

function obey(command, namespace, parent) {
    if (command.add) {
        namespace
            .addVariable({ componentOf: parent, browseName: command.add, nodeId: `s=${command.add}`, dataType: DataType.Double })
            .setValueFromSource(new Variant({ dataType: DataType.Double, value: command.value }));
    }
    if (command.delete) namespace.deleteNode(namespace.findNode(`s=${command.delete}`));
}

async function main() {
    const folder = options.folder || fs.mkdtempSync(path.join(os.tmpdir(), "opcua-server-"));
    const store = (name) => new OPCUACertificateManager({ rootFolder: path.join(folder, name), automaticallyAcceptUnknownCertificate: true });
    const limit = options.limit || 0;
    const server = new OPCUAServer({
        defaultSecureTokenLifetime: options.token || undefined,
        port, host: "127.0.0.1", hostname: "127.0.0.1", resourcePath: "/test",
        // With a user, a second policy: only then does the open endpoint offer to encrypt the password.
        securityPolicies: [SecurityPolicy.None, ...(options.user ? [SecurityPolicy.Basic256Sha256] : [])],
        securityModes: [MessageSecurityMode.None, ...(options.user ? [MessageSecurityMode.SignAndEncrypt] : [])],
        allowAnonymous: options.user === "", disableDiscovery: true,
        userManager: { isValidUser: (user, password) => user === options.user && password === "secret" },
        serverCertificateManager: store("server"), userCertificateManager: store("user"),
        serverCapabilities: limit ? { operationLimits: { maxNodesPerRead: limit, maxMonitoredItemsPerCall: limit } } : {},
    });
    await server.initialize();
    const namespace = server.engine.addressSpace.getOwnNamespace();
    const parent = namespace.addObject({ organizedBy: server.engine.addressSpace.rootFolder.objects, browseName: "Line" });
    const variables = addVariables(namespace, parent);
    await server.start();
    let k = 0;
    const timer = options.period && setInterval(() => {
        k += 1;
        variables.forEach((variable, i) => variable.setValueFromSource(variant(i, k)));
    }, options.period);
    const lines = readline.createInterface({ input: process.stdin });
    lines.on("line", (line) => obey(JSON.parse(line), namespace, parent));
    lines.on("close", async () => {
        clearInterval(timer);
        await server.shutdown(0);
        process.exit(0);
    });
    console.log("ready");
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
