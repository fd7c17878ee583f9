// Reads Sparkplug payloads, one in base64 a line, with the Eclipse Tahu library; writes each as a line of JSON (integers of
// 64 bits as text). A line that begins with "encode " is JSON, and is written as base64.
const readline = require("readline");
const sparkplug = require("sparkplug-payload").get("spBv1.0");

const plain = (key, value) => (value && typeof value === "object" && "low" in value && "high" in value
  ? (value.unsigned ? (BigInt(value.high >>> 0) << 32n) | BigInt(value.low >>> 0)
                    : (BigInt(value.high) << 32n) | BigInt(value.low >>> 0)).toString()
  : value);

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  if (line.startsWith("encode ")) {
    console.log(Buffer.from(sparkplug.encodePayload(JSON.parse(line.slice(7)))).toString("base64"));
  } else {
    console.log(JSON.stringify(sparkplug.decodePayload(Buffer.from(line, "base64")), plain));
  }
});
