// A foreign OPC UA server for the tests: node-opcua's own stack, no security, nothing fetched or written outside its folder.
//
// node opcua_server.js PORT [JSON options]
//   count      numeric variables ns=1;s=v0 ... (types in turn: Double, Float, Int32, UInt16, Boolean, Int64)
//   period     ms between changes of all of them (0 = only on request)
//   limit      operations per call that the server allows (0 = none stated)
//   capabilities  further limits by node-opcua's names, such as {"maxMonitoredItems": 20}
//   user       the one user that may log in, with the password "secret" ("" = anonymous)
//   token      ms that a secure channel's token lives (0 = node-opcua's ten minutes; it grants at least 2500)
//   history    values that each variable remembers (0 = no history)
//   versions   1: nodes have a NodeVersion, so that the server tells changes of its model and of its units (0 = no)
//   folder     where the certificate store may live
// It prints one line "ready" once clients may connect, and ends when its standard input closes. Before that each line is a
// command: {"add": NAME, "value": NUMBER} and {"delete": NAME} create and delete the Double ns=1;s=NAME, {"set": NAME,
// "value": VALUE, "type": "Double"} gives it a value, {"high": NUMBER} sets the upper end of analog's EURange,
// {"level": NUMBER} sets the level of the tank (above 50: alarm HighLevel), {"event": TEXT, "severity": NUMBER} sends an event
// of the tank; {"stand": [LEVEL, STATE]} sets ServiceLevel and ServerState.
//
// Variable i holds k + i after the k-th change (Boolean: k + i odd), so that a value names its variable. A change waits until
// every monitored item has sampled the one before: the timers of a starved process would let values pass unseen.
"use strict";
const fs = require("node:fs");
const os = require("node:os");
const path = require("node:path");
const readline = require("node:readline");
const {
    OPCUAServer, OPCUACertificateManager, Variant, DataType, VariantArrayType, StatusCodes, SecurityPolicy,
    MessageSecurityMode, DataValue, standardUnits, nodesets, coerceInt64, coerceUInt64, resolveNodeId, Range, QualifiedName, ExpandedNodeId, NodeIdType, DiagnosticInfo,
} = require("node-opcua");

const port = Number(process.argv[2]);
const options = { count: 300, period: 100, limit: 0, user: "", token: 0, history: 0, versions: 0, folder: "", ...JSON.parse(process.argv[3] || "{}") };
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
    const add = (name, dataType, value, extra) => {
        const variable = namespace.addVariable({ componentOf: parent, browseName: name, nodeId: `s=${name}`, dataType, ...extra });
        if (options.history) namespace.addressSpace.installHistoricalDataNode(variable, { maxOnlineValues: options.history });
        variable.setValueFromSource(new Variant({ dataType, value, ...(extra || {}) }));
    };
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

// One variable for each built-in type, arrays, and the types of types.NodeSet2.xml.
function addTypes(addressSpace, namespace, parent) {
    const own = addressSpace.getNamespaceIndex("urn:gateway:types");
    const add = (name, dataType, value, extra) => namespace
        .addVariable({ componentOf: parent, browseName: name, nodeId: `s=${name}`, dataType: extra && extra.type || dataType, ...extra })
        .setValueFromSource(new Variant({ dataType, value, ...extra }));
    const list = { arrayType: VariantArrayType.Array, valueRank: 1 };
    const scalars = {
        Boolean: true, SByte: -5, Byte: 200, Int16: -3000, UInt16: 60000, Int32: -70000, UInt32: 4000000000,
        Float: 23.45, Double: 1e300, String: "idle",
        Guid: "09087E75-8E5E-499B-954F-F2A9603DB28A", ByteString: Buffer.from([0, 255]),
    };
    for (const [name, value] of Object.entries(scalars)) add(`type${name}`, DataType[name], value);
    add("typeDateTime", DataType.DateTime, new Date(Date.UTC(2026, 7, 1, 12)));
    add("typeInt64", DataType.Int64, coerceInt64("-9007199254740993"), { arrayType: VariantArrayType.Scalar });
    add("typeUInt64", DataType.UInt64, coerceUInt64("18446744073709551615"), { arrayType: VariantArrayType.Scalar });
    add("typeLocalizedText", DataType.LocalizedText, { locale: "de", text: "läuft" });
    add("typeNodeId", DataType.NodeId, resolveNodeId("ns=1;s=v0"));
    add("typeStatusCode", DataType.StatusCode, StatusCodes.BadNodeIdUnknown);
    add("floats", DataType.Float, new Float32Array([0.1, 2.5, 23.45]), list);
    add("texts", DataType.String, ["a", "b"], list);
    add("matrix", DataType.Int32, new Int32Array([1, 2, 3, 4, 5, 6]), {
        arrayType: VariantArrayType.Matrix, valueRank: 2, dimensions: [2, 3], arrayDimensions: [2, 3],
    });
    const odd = {
        typeQualifiedName: [DataType.QualifiedName, new QualifiedName({ namespaceIndex: 2, name: "speed" })],
        typeExpandedNodeId: [DataType.ExpandedNodeId, new ExpandedNodeId(NodeIdType.STRING, "v0", 0, "urn:x", 3)],
        typeXmlElement: [DataType.XmlElement, "<a>ä</a>"],
        typeDiagnosticInfo: [DataType.DiagnosticInfo, new DiagnosticInfo({ symbolicId: 1, additionalInfo: "x" })],
        typeDataValue: [DataType.DataValue, new DataValue({ value: { dataType: DataType.Int32, value: 5 } })],
        nullString: [DataType.String, null], nullByteString: [DataType.ByteString, null],
        emptyString: [DataType.String, ""], emptyByteString: [DataType.ByteString, Buffer.alloc(0)],
        firstDate: [DataType.DateTime, new Date(Date.UTC(1601, 0, 1))], lastDate: [DataType.DateTime, new Date(Date.UTC(9999, 11, 31, 23, 59, 59))],
        emptyDoubles: [DataType.Double, new Float64Array([]), list], emptyStrings: [DataType.String, [], list],
        nulls: [DataType.String, ["a", null, ""], list], booleans: [DataType.Boolean, [true, false], list],
        long: [DataType.Int64, [coerceInt64("9223372036854775807"), coerceInt64("-9223372036854775808"), [0, 0]], list],
        anything: [DataType.Variant, [
            new Variant({ dataType: DataType.Int32, value: 1 }), new Variant({ dataType: DataType.String, value: "x" }),
            new Variant({ dataType: DataType.Double, value: new Float64Array([1.5]), arrayType: VariantArrayType.Array }),
        ], list],
        guids: [DataType.Guid, ["09087E75-8E5E-499B-954F-F2A9603DB28A"], list],
        codes: [DataType.StatusCode, [StatusCodes.BadNodeIdUnknown, StatusCodes.Good], list],
        localized: [DataType.LocalizedText, [{ locale: "de", text: "a" }, { text: "b" }], list],
    };
    for (const [name, [dataType, value, extra]] of Object.entries(odd)) add(name, dataType, value, extra);
    namespace.addMultiStateDiscrete({
        componentOf: parent, browseName: "multi", nodeId: "s=multi", enumStrings: ["one", "two"], value: 1,
    });
    namespace.addTwoStateDiscrete({
        componentOf: parent, browseName: "valve", nodeId: "s=valve", trueState: "open", falseState: "closed", value: true,
    });
    add("mode", DataType.Int32, 1, { type: `ns=${own};i=1001` });
    const type = (number) => addressSpace.findDataType(resolveNodeId(`ns=${own};i=${number}`));
    const make = (number, fields) => addressSpace.constructExtensionObject(type(number), fields);
    const warm = { value: 23.45, unit: "°C", every: 250 };
    const machine = make(1003, {
        name: "press", strokes: coerceUInt64("9007199254740993"), mode: 7, temperature: warm,
        axes: [{ value: 1.5, unit: "a", every: 1 }, { value: 2.5, unit: "b", every: 2 }], limits: { low: -1, high: 5 }, running: true,
    });
    const structures = {
        machine, choice: make(1005, { temperature: warm }), choice2: make(1005, { count: 42 }),
        sample: make(1004, { number: 3, note: "x" }), machines: [machine, machine],
    };
    for (const [name, value] of Object.entries(structures)) {
        const many = Array.isArray(value) ? { arrayType: VariantArrayType.Array, valueRank: 1 } : {};
        const number = { machine: 1003, machines: 1003, choice: 1005, choice2: 1005, sample: 1004 }[name];
        add(name, DataType.ExtensionObject, value, { type: `ns=${own};i=${number}`, ...many });
    }
}

// Values of the types of shapes.NodeSet2.xml, and of the standard's discrete variables.
function addShapes(addressSpace, namespace, parent) {
    const own = addressSpace.getNamespaceIndex("urn:gateway:shapes");
    const type = (number) => addressSpace.findDataType(resolveNodeId(`ns=${own};i=${number}`));
    const make = (number, fields) => addressSpace.constructExtensionObject(type(number), fields);
    const any = (dataType, value, arrayType = VariantArrayType.Scalar) => new Variant({ dataType, value, arrayType });
    const circle = make(1022, { name: "c", radius: 2.5 }), box = make(1023, { name: "b", width: 1, height: 2 });
    const leaf = (name) => ({ name, children: [] });
    const structures = {
        tree: [1013, { name: "a", children: [leaf("b"), { name: "c", children: [leaf("d")] }] }],
        drawing: [1024, {
            first: circle, all: [circle, box], number: any(DataType.Int64, [0, 5]), any: any(DataType.ExtensionObject, box),
            many: [any(DataType.String, "x"), any(DataType.Int32, [1, 2], VariantArrayType.Array)],
        }],
        mixed: [1025, { flags: 5, modes: [1, 7], access: 3, none: [], nothing: null, when: new Date(Date.UTC(2026, 7, 1)) }],
        optional: [1027, { some: [{ value: 1, unit: "a", every: 1 }], choice: { count: 42 } }],
    };
    for (const [name, [number, fields]] of Object.entries(structures)) {
        namespace
            .addVariable({ componentOf: parent, browseName: name, nodeId: `s=${name}`, dataType: `ns=${own};i=${number}` })
            .setValueFromSource(any(DataType.ExtensionObject, make(number, fields)));
    }
    namespace.addVariable({ componentOf: parent, browseName: "flags", nodeId: "s=flags", dataType: `ns=${own};i=1011` })
        .setValueFromSource(any(DataType.UInt16, 0x8005));
    namespace.addMultiStateValueDiscrete({
        componentOf: parent, browseName: "speed", nodeId: "s=speed", dataType: DataType.UInt16, value: 40,
        enumValues: [{ displayName: "slow", value: 10 }, { displayName: "fast", value: 40 }],
    });
}

function addTank(namespace, addressSpace) {
    addressSpace.installAlarmsAndConditionsService();
    const objects = addressSpace.rootFolder.objects;
    const tank = namespace.addObject({ organizedBy: objects, browseName: "Tank", nodeId: "s=tank", notifierOf: objects.server });
    const level = namespace.addVariable({
        componentOf: tank, browseName: "level", nodeId: "s=level", dataType: DataType.Double, eventSourceOf: tank,
    });
    level.setValueFromSource(new Variant({ dataType: DataType.Double, value: 10 }));
    namespace.instantiateExclusiveLimitAlarm("ExclusiveLimitAlarmType", {
        browseName: "HighLevel", conditionName: "HighLevel", conditionSource: level, inputNode: level, componentOf: tank,
        highHighLimit: 90, highLimit: 50, lowLimit: -50, lowLowLimit: -90,
    });
    return { tank, level };
}

// The monitored items of all subscriptions, those of lost sessions too.
function watched(server) {
    const items = new Set();
    server.on("create_session", (session) => session.on("new_subscription", (subscription) => {
        subscription.on("monitoredItem", (item) => items.add(item));
        subscription.on("removeMonitoredItem", (item) => items.delete(item));
        subscription.on("terminated", () => items.forEach((item) => item.$subscription === subscription && items.delete(item)));
    }));
    return items;
}

// Whether what a variable holds has been sampled by whoever samples it.
function isSampled(item, variables) {
    if (!item.node || !item.oldDataValue || item.filter || !variables.has(item.node)) return true;
    return Number(item.oldDataValue.sourceTimestamp) === Number(item.node.readValue().sourceTimestamp);
}

function obey(command, namespace, parent, { tank, level }) {
    if (command.level !== undefined) {
        level.setValueFromSource(new Variant({ dataType: DataType.Double, value: command.level }));
    }
    if (command.stand) {
        const read = (dataType, value) => ({ get: () => new Variant({ dataType, value }) });
        namespace.addressSpace.findNode("i=2267").bindVariable(read(DataType.Byte, command.stand[0]), true);
        namespace.addressSpace.findNode("i=2259").bindVariable(read(DataType.Int32, command.stand[1]), true);
    }
    if (command.event) {
        tank.raiseEvent("BaseEventType", {
            message: { dataType: DataType.LocalizedText, value: { text: command.event } },
            severity: { dataType: DataType.UInt32, value: command.severity },
        });
    }
    if (command.add) {
        namespace
            .addVariable({ componentOf: parent, browseName: command.add, nodeId: `s=${command.add}`, dataType: DataType.Double })
            .setValueFromSource(new Variant({ dataType: DataType.Double, value: command.value }));
    }
    if (command.set) {
        const dataType = DataType[command.type || "Double"];
        const array = Array.isArray(command.value) ? { arrayType: VariantArrayType.Array } : {};
        namespace.findNode(`s=${command.set}`).setValueFromSource(new Variant({ dataType, value: command.value, ...array }));
    }
    if (command.high !== undefined) {
        const range = new Range({ low: 0, high: command.high });
        namespace.findNode("s=analog").euRange.setValueFromSource({ dataType: DataType.ExtensionObject, value: range });
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
        nodeset_filename: [nodesets.standard, path.join(__dirname, "types.NodeSet2.xml"), path.join(__dirname, "shapes.NodeSet2.xml")],
        serverCapabilities: {
            ...options.capabilities,
            ...(limit ? { operationLimits: {
                maxNodesPerRead: limit, maxMonitoredItemsPerCall: limit, maxNodesPerBrowse: limit,
                maxNodesPerRegisterNodes: limit, maxNodesPerTranslateBrowsePathsToNodeIds: limit,
            } } : {}),
        },
    });
    await server.initialize();
    const namespace = server.engine.addressSpace.getOwnNamespace();
    const parent = namespace.addObject({ organizedBy: server.engine.addressSpace.rootFolder.objects, browseName: "Line", ...(options.versions ? { nodeVersion: "0" } : {}) });
    const variables = addVariables(namespace, parent);
    addTypes(server.engine.addressSpace, namespace, parent);
    addShapes(server.engine.addressSpace, namespace, parent);
    const scene = addTank(namespace, server.engine.addressSpace);
    const items = watched(server);
    await server.start();
    let k = 0;
    const changing = new Set(variables);
    const timer = options.period && setInterval(() => {
        if (![...items].every((item) => isSampled(item, changing))) return;
        k += 1;
        variables.forEach((variable, i) => variable.setValueFromSource(variant(i, k)));
    }, options.period);
    const lines = readline.createInterface({ input: process.stdin });
    lines.on("line", (line) => obey(JSON.parse(line), namespace, parent, scene));
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
