"""The Kafka sink against a real broker: logins, refusals, what a consumer finds. One broker for the whole file."""

import asyncio
import base64
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.protocol.admin import CreateAclsRequest

from gateway.core.errors import NotConnected, Permanent, Retryable
from gateway.core.ports.sink import Certified
from tests.support.kafka import Kafka, headers_of
from tests.support.mosquitto import Authority
from tests.support.sink_stand import build, delivery, put, served

pytestmark = pytest.mark.timeout(180)
PASSWORD = "s3cret-of-kafka"
TOPIC, LITERAL, WRITE, DENY = 2, 3, 4, 2


@dataclass
class Stand:
    """The broker and its doors."""

    broker: Kafka
    tls: int
    sasl: int
    authority: Authority
    folder: Path


@pytest.fixture(scope="module")
def stand(kafka_jars: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    folder = tmp_path_factory.mktemp("kafka")
    broker, authority = Kafka(tmp_path_factory.mktemp("broker")), Authority(folder)
    broker.set(
        authorizer_class_name="org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        super_users="User:ANONYMOUS",
        allow_everyone_if_no_acl_found="true",
        auto_create_topics_enable="false",
    )
    certificate, key = authority.issue("127.0.0.1")
    chain = folder / "broker.pem"
    chain.write_bytes(key.read_bytes() + certificate.read_bytes())
    tls = broker.listen(
        "TLS", "SSL", ssl_keystore_type="PEM", ssl_keystore_location=str(chain), ssl_truststore_type="PEM",
        ssl_truststore_location=str(authority.certificate), ssl_client_auth="required",
    )  # fmt: skip
    scram = "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    sasl = broker.listen(
        "SASL", "SASL_PLAINTEXT",
        sasl_enabled_mechanisms="PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
        plain_sasl_jaas_config=(
            f'org.apache.kafka.common.security.plain.PlainLoginModule required user_gw="{PASSWORD}";'
        ),
        scram__sha__256_sasl_jaas_config=scram,
        scram__sha__512_sasl_jaas_config=scram,
        oauthbearer_sasl_jaas_config=(
            'org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="x";'
        ),
    )  # fmt: skip
    broker.start_now(scram={"gw": PASSWORD})
    asyncio.run(_topics(broker))
    yield Stand(broker, tls, sasl, authority, folder)
    broker.kill()


async def _topics(broker: Kafka) -> None:
    await broker.create("gateway.window", "gateway.event", "plain.window", "denied", "login")
    await broker.create("small", max_message_bytes="4000")
    admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
    await admin.start()
    await admin._send_to_controller(CreateAclsRequest(TOPIC, "denied", LITERAL, "User:gw", "*", WRITE, DENY))
    await admin.close()


def token(sub: str, lifetime_s: float) -> str:
    """An unsecured token, which Kafka's own test of OAUTHBEARER takes (RFC 7515, appendix A.5)."""
    now = time.time()
    parts = ({"alg": "none"}, {"sub": sub, "iat": now - 10, "exp": now + lifetime_s})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


async def test_a_consumer_finds_key_headers_time_and_value(stand: Stand) -> None:
    sink = build("kafka", brokers=stand.broker.address, cloudevents=True)
    async with served(sink):
        ends = await put(sink, *[delivery(seq=seq, live=seq > 1) for seq in range(1, 6)])
        assert ends == [None] * 5
    records = await stand.broker.read(["gateway.window"], 5)
    assert [headers_of(record)["seq"] for record in records] == ["1", "2", "3", "4", "5"]
    first = records[0]
    assert (first.key, first.timestamp) == (b"press", 1_796_060_604_000)
    assert json.loads(first.value)["hist"] is True
    assert headers_of(first) | {"hist": "true", "topic": "plant/v1/gw/press/window"} == headers_of(first)
    assert headers_of(first)["ce_type"] == "gateway.window"
    assert len({record.partition for record in records}) == 1


@pytest.mark.parametrize("compression", ["none", "gzip", "snappy", "lz4", "zstd"])
async def test_every_compression_is_understood(stand: Stand, compression: str) -> None:
    sink = build("kafka", brokers=stand.broker.address, topic="plain.{stream}", compression=compression)
    async with served(sink):
        assert await put(sink, *[delivery({"x": "y" * 1000}) for _ in range(20)]) == [None] * 20
    records = await stand.broker.read(["plain.window"], 20)
    assert json.loads(records[-1].value)["x"] == "y" * 1000


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"])
async def test_each_login_gets_in_and_a_wrong_secret_does_not(
    stand: Stand, tmp_path: Path, caplog: pytest.LogCaptureFixture, mechanism: str
) -> None:
    secret = tmp_path / "secret"
    own = {"token_file": str(secret)} if mechanism == "OAUTHBEARER" else {"username": "gw", "password_file": str(secret)}
    sink = build("kafka", brokers=f"127.0.0.1:{stand.sasl}", topic="login", sasl={"mechanism": mechanism, **own})
    secret.write_text(token("gw", 600) if mechanism == "OAUTHBEARER" else PASSWORD)
    async with served(sink):
        assert await put(sink, delivery()) == [None]
    secret.write_text(token("gw", -600) if mechanism == "OAUTHBEARER" else "wr0ng")
    with pytest.raises(NotConnected, match="refuses the login") as caught:
        await sink.open()
    await sink.close()
    assert caught.value.security == "login_refused"
    assert not any(word in caplog.text + str(caught.value) for word in (PASSWORD, "wr0ng", "eyJ"))


async def test_tls_with_a_certificate_of_its_own_gets_in(stand: Stand) -> None:
    certificate, key = stand.authority.issue("gateway")
    files = {"ca": str(stand.authority.certificate), "cert": str(certificate), "key": str(key)}
    sink = build("kafka", brokers=f"127.0.0.1:{stand.tls}", topic="login", tls=files)
    async with served(sink):
        assert await put(sink, delivery()) == [None]
        assert isinstance(sink, Certified)
        assert [(one.owner, one.subject) for one in sink.certificates] == [
            ("broker", "CN=127.0.0.1"),
            ("gateway", "CN=gateway"),
        ]


@pytest.mark.parametrize(
    ("door", "tls", "words"),
    [
        ("tls", {}, "is not trusted: set kafka.tls.ca"),
        ("tls", {"insecure": True}, "hung up|TLS failed"),  # without a certificate of the gateway's own
        ("plain", {}, "hung up|TLS failed"),
        ("tls", None, "is TLS needed"),
    ],
)
async def test_tls_that_does_not_fit_is_said_in_words(stand: Stand, door: str, tls: dict | None, words: str) -> None:
    port = stand.tls if door == "tls" else stand.broker.port
    sink = build("kafka", brokers=f"127.0.0.1:{port}", connect_timeout="3s", **({} if tls is None else {"tls": tls}))
    with pytest.raises(NotConnected, match=words):
        await sink.open()
    await sink.close()


async def test_a_record_that_the_topic_does_not_take_is_refused_alone(stand: Stand) -> None:
    """The batch is too large for the topic: it is divided; one record is too large: it is refused, the others arrive."""
    sink = build("kafka", brokers=stand.broker.address, topic="small", compression="none")
    async with served(sink):
        messages = [delivery({"x": "y" * 900}) for _ in range(20)]
        messages.insert(7, delivery({"x": "y" * 5000}))
        ends = await put(sink, *messages)
    assert isinstance(ends.pop(7), Permanent)
    assert ends == [None] * 20
    seqs = [int(headers_of(record)["seq"]) for record in await stand.broker.read(["small"], 20)]
    assert seqs == sorted(seqs)
    assert len(seqs) == len(set(seqs)) == 20


async def test_larger_messages_go_in_parts(stand: Stand) -> None:
    sink = build("kafka", brokers=stand.broker.address, topic="gateway.event", max_record="2KiB")
    tags = {f"t{number}": {"mean": 1.5, "reason": "x" * 100} for number in range(40)}
    async with served(sink):
        assert await put(sink, delivery({"tags": tags})) == [None]
    records = await stand.broker.read(["gateway.event"], 2)
    parts = [headers_of(record)["part"] for record in records]
    assert parts == [f"{number}/{len(records)}" for number in range(1, len(records) + 1)]
    assert all(len(record.value) <= 2048 for record in records)


async def test_an_unknown_topic_is_said_and_costs_no_other(stand: Stand) -> None:
    sink = build("kafka", brokers=stand.broker.address, topic="{device}.{stream}")
    async with served(sink):
        bad, good = await put(sink, delivery(device="nowhere"), delivery(device="plain"))
    assert good is None
    assert isinstance(bad, Retryable)
    assert "unknown topic" in str(bad)


async def test_a_topic_that_is_forbidden_is_said_and_costs_no_other(stand: Stand) -> None:
    login = {"mechanism": "SCRAM-SHA-512", "username": "gw", "password": PASSWORD}
    sink = build("kafka", brokers=f"127.0.0.1:{stand.sasl}", topic="{device}", sasl=login)
    async with served(sink):
        bad, good = await put(sink, delivery(device="denied"), delivery(device="login"))
    assert good is None
    assert isinstance(bad, Retryable)
    assert "not authorised" in str(bad)
