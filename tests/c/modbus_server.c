/* A foreign Modbus server for the tests: libmodbus on a serial line or on TCP.

   modbus_server rtu DEVICE BAUD UNIT   answers this unit only
   modbus_server tcp PORT

   Every holding and input register holds its address plus 1000 x unit, every bit its parity.
   Prints "ready" once it serves; ends with its parent. */
#include <errno.h>
#include <modbus.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <signal.h>
#include <unistd.h>

static modbus_mapping_t *image(int unit) {
    modbus_mapping_t *m = modbus_mapping_new(1000, 1000, 1000, 1000);
    for (int i = 0; i < 1000; i++) {
        m->tab_registers[i] = m->tab_input_registers[i] = i + 1000 * unit;
        m->tab_bits[i] = m->tab_input_bits[i] = i & 1;
    }
    return m;
}

static int serve_rtu(int unit, const char *device, int baud) {
    modbus_t *context = modbus_new_rtu(device, baud, 'N', 8, 1);
    modbus_mapping_t *map = image(unit);
    uint8_t query[MODBUS_RTU_MAX_ADU_LENGTH];
    modbus_set_slave(context, unit);
    if (modbus_connect(context)) { perror("connect"); return 1; }
    puts("ready"); fflush(stdout);
    for (;;) {
        int size = modbus_receive(context, query); /* 0: a frame for another unit */
        if (size > 0) modbus_reply(context, query, size, map);
        else if (size < 0) { usleep(1000); modbus_flush(context); }
    }
}

static int serve_tcp(int port) {
    modbus_t *context = modbus_new_tcp("127.0.0.1", port);
    modbus_mapping_t *map = image(0);
    int listener = modbus_tcp_listen(context, 4);
    if (listener < 0) { perror("listen"); return 1; }
    puts("ready"); fflush(stdout);
    for (;;) {
        uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
        modbus_tcp_accept(context, &listener);
        for (;;) {
            int size = modbus_receive(context, query);
            if (size > 0) modbus_reply(context, query, size, map);
            else if (size < 0) break;
        }
        modbus_close(context);
    }
}

int main(int argc, char **argv) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (argc == 5 && !strcmp(argv[1], "rtu")) return serve_rtu(atoi(argv[4]), argv[2], atoi(argv[3]));
    if (argc == 3 && !strcmp(argv[1], "tcp")) return serve_tcp(atoi(argv[2]));
    return 2;
}
