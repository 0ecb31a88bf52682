/* Why native and the thread contract: emulator_tap.h. */
#include "emulator_tap.h"

#include "emulator_servo.h"

#include <errno.h>
#include <stddef.h>

size_t sp_wire_record_bytes(int servos)
{
    return offsetof(sp_wire_record, servos) + sizeof(sp_wire_servo) * (size_t)servos;
}

int sp_emulator_record_to(sp_emulator *e, struct sp_ring *ring)
{
    if (ring->slot_bytes < sp_wire_record_bytes(e->n))
        return -EINVAL;
    e->tap = ring;
    return 0;
}

void sp_emulator_record(const sp_emulator *e, uint8_t address, int64_t arrived_ns)
{
    /* Its own head in place of a consumer's tail: never full. */
    sp_wire_record *record = e->tap ? sp_ring_begin(e->tap, &e->tap->head) : NULL;
    if (record == NULL)
        return;
    record->arrived_ns = arrived_ns;
    record->address = address;
    record->written = e->written;
    for (int i = 0; i < e->n; i++) {
        sp_emulator_orders orders = sp_emulator_servo_orders(&e->servos[i]);
        record->servos[i] = (sp_wire_servo){
            .goal = (int16_t)orders.goal,
            .shaft = (int16_t)(uint16_t)atomic_load(&e->servos[i].present),
            .torque_limit = (uint16_t)orders.torque_limit,
            .torque = orders.torque,
        };
    }
    sp_ring_commit(e->tap);
}
