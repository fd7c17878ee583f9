// A foreign OPC UA server for the tests with all it has of security: node-opcua's own stack, every policy, every login.
//
// node opcua_secure_server.js PORT FOLDER
//   FOLDER   where the certificate stores live: server/ (applications) and user/
// The variable ns=1;s=v0 is 42. The user "me" has the password "secret"; users with a certificate are taken when it stands in
// FOLDER/user/trusted/certs. Applications are taken on sight. It prints "ready" and ends when its standard input closes.
"use strict";
const path = require("node:path");
const {
    OPCUAServer, OPCUACertificateManager, Variant, DataType, SecurityPolicy, MessageSecurityMode,
} = require("node-opcua");

async function main() {
    const [port, folder] = [Number(process.argv[2]), process.argv[3]];
    const store = (name, accept) => new OPCUACertificateManager({
        rootFolder: path.join(folder, name), automaticallyAcceptUnknownCertificate: accept,
    });
    const server = new OPCUAServer({
        port, host: "127.0.0.1", hostname: "127.0.0.1", resourcePath: "/secure",
        securityPolicies: [
            SecurityPolicy.None, SecurityPolicy.Basic256Sha256, SecurityPolicy.Aes128_Sha256_RsaOaep,
            SecurityPolicy.Aes256_Sha256_RsaPss,
        ],
        securityModes: [MessageSecurityMode.None, MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt],
        allowAnonymous: true, disableDiscovery: true,
        userManager: { isValidUser: (user, password) => user === "me" && password === "secret" },
        serverCertificateManager: store("server", true), userCertificateManager: store("user", false),
    });
    await server.initialize();
    server.engine.addressSpace.getOwnNamespace().addVariable({
        organizedBy: server.engine.addressSpace.rootFolder.objects, browseName: "v0", nodeId: "s=v0",
        dataType: DataType.Double, value: new Variant({ dataType: DataType.Double, value: 42 }),
    });
    await server.start();
    process.stdin.resume();
    process.stdin.on("end", async () => {
        await server.shutdown(0);
        process.exit(0);
    });
    console.log("ready");
}

main().catch((error) => {
    console.error(error);
    process.exit(1);
});
