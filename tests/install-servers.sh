#!/bin/sh
# Installs what the tests run against: mosquitto, a browser, node's packages and Kafka's jars. At home what cannot be installed is left out and the
# tests that need it are skipped; in CI that is an error.
set -u
here=$(dirname "$0")
say() { echo "tests: $*" >&2; }
failed() { say "$*"; [ -z "${CI:-}" ] || exit 1; }

as_root=""
[ "$(id -u)" = 0 ] || { sudo -n true 2>/dev/null && as_root="sudo -n"; }
can_apt() { command -v apt-get >/dev/null && { [ "$(id -u)" = 0 ] || [ -n "$as_root" ]; }; }
apt_install() {
    can_apt || return 1
    $as_root apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive $as_root apt-get install -y -qq "$@" >/dev/null
}

PATH=$PATH:/usr/sbin:/usr/local/sbin
if ! command -v mosquitto >/dev/null; then
    say "installing mosquitto"
    if apt_install mosquitto; then
        # Debian starts it at once on port 1883; the tests start their own.
        command -v systemctl >/dev/null && $as_root systemctl disable --now mosquitto >/dev/null 2>&1
        :
    else
        failed "mosquitto is missing: apt install mosquitto (its tests are skipped)"
    fi
fi

if ! { command -v cc && [ -e /usr/include/modbus/modbus.h ]; } >/dev/null; then
    say "installing libmodbus"
    apt_install gcc libc6-dev libmodbus-dev || failed "libmodbus-dev or a C compiler is missing (its tests are skipped)"
fi
if ! { command -v tinyproxy && command -v microsocks; } >/dev/null; then
    say "installing tinyproxy and microsocks"
    if apt_install tinyproxy microsocks; then
        # As with mosquitto: the tests start their own.
        command -v systemctl >/dev/null && $as_root systemctl disable --now tinyproxy >/dev/null 2>&1
        :
    else
        failed "tinyproxy or microsocks is missing (their tests are skipped)"
    fi
fi
if ! ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1; then
    say "installing postgresql"
    if apt_install postgresql; then
        # As with mosquitto: the tests start their own.
        command -v systemctl >/dev/null && $as_root systemctl disable --now postgresql >/dev/null 2>&1
        command -v pg_lsclusters >/dev/null && pg_lsclusters -h 2>/dev/null | while read -r version name _; do
            $as_root pg_ctlcluster "$version" "$name" stop >/dev/null 2>&1
        done
    else
        failed "postgresql is missing: apt install postgresql (its tests are skipped)"
    fi
fi
if ! { command -v influxd && command -v victoria-metrics; } >/dev/null; then
    say "installing influxdb and victoria-metrics"
    if apt_install --no-install-recommends influxdb victoria-metrics; then
        command -v systemctl >/dev/null && $as_root systemctl disable --now influxdb victoria-metrics >/dev/null 2>&1
        :
    else
        failed "influxdb or victoria-metrics is missing (their tests are skipped)"
    fi
fi
if ! command -v chromium >/dev/null; then
    say "installing chromium"
    apt_install chromium || failed "chromium is missing: apt install chromium (the page's tests are skipped)"
fi
if [ -n "${CI:-}" ]; then
    command -v node >/dev/null && command -v npm >/dev/null || { say "installing node"; apt_install nodejs npm || failed "node is missing"; }
    command -v systemd-analyze >/dev/null || apt_install systemd || failed "systemd-analyze is missing"
fi
if command -v npm >/dev/null && command -v node >/dev/null; then
    if [ ! -e "$here/node/node_modules/.package-lock.json" ] || [ "$here/node/package-lock.json" -nt "$here/node/node_modules/.package-lock.json" ]; then
        say "installing node packages"
        (cd "$here/node" && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error) || failed "npm ci failed in tests/node"
    fi
else
    say "node and npm are missing: tests against foreign servers are skipped"
fi
# Apache Kafka from its jars (45 MB, once).
if ! { command -v java && command -v mvn; } >/dev/null; then
    say "installing java and maven"
    apt_install default-jre-headless maven || failed "java or mvn is missing (the tests against Kafka are skipped)"
fi
if command -v mvn >/dev/null && [ ! "$here/java/jars/.complete" -nt "$here/java/pom.xml" ]; then
    say "fetching Kafka's jars"
    rm -rf "$here/java/jars"
    if mvn -q -B -f "$here/java/pom.xml" dependency:copy-dependencies -DoutputDirectory=jars -DincludeScope=runtime; then
        touch "$here/java/jars/.complete"
    else
        failed "maven could not fetch Kafka's jars"
    fi
fi
exit 0
