#include "feetech_health.h"

#include <stdlib.h>
#include <string.h>

enum { SETTINGS, MEASURED };
enum { ANSWER_GAP_NS = 100000 }; /* a servo's own delay before it answers: twice what the bus budget takes */

#define VOLT_PER_UNIT 0.1
#define AMPERE_PER_UNIT 6.5e-3

static const struct {
    uint8_t address, width;
} blocks[SP_FEETECH_HEALTH_BLOCKS] = {
    [SETTINGS] = {SP_FEETECH_TORQUE, SP_FEETECH_TORQUE_LIMIT + SP_FEETECH_TORQUE_LIMIT_WIDTH - SP_FEETECH_TORQUE},
    [MEASURED] = {SP_FEETECH_VOLTAGE, SP_FEETECH_CURRENT + SP_FEETECH_CURRENT_WIDTH - SP_FEETECH_VOLTAGE},
};

void sp_feetech_health_init(sp_feetech_health *health, const uint8_t *ids, int count, int every)
{
    memset(health, 0, sizeof *health);
    health->count = count;
    health->every = every;
    health->asked = health->unheard = -1;
    memcpy(health->ids, ids, (size_t)count);
}

static int joint_of(const sp_feetech_health *health, int turn)
{
    return turn / SP_FEETECH_HEALTH_BLOCKS % health->count;
}

size_t sp_feetech_health_request(sp_feetech_health *health, uint8_t *buffer, size_t capacity)
{
    if (health->every == 0 || ++health->cycle < health->every)
        return 0;
    int turn = health->turn;
    health->cycle = 0;
    health->turn = (turn + (health->first_pass > 0 ? SP_FEETECH_HEALTH_BLOCKS : 1)) %
                   (SP_FEETECH_HEALTH_BLOCKS * health->count);
    health->first_pass -= health->first_pass > 0;
    health->asked = turn;
    health->void_settings = 0;
    return sp_feetech_read(buffer, capacity, health->ids[joint_of(health, turn)],
                           blocks[turn % SP_FEETECH_HEALTH_BLOCKS].address,
                           blocks[turn % SP_FEETECH_HEALTH_BLOCKS].width);
}

void sp_feetech_health_sent(sp_feetech_health *health, int64_t sent_ns, int64_t byte_ns)
{
    int64_t bytes = SP_FEETECH_OVERHEAD + blocks[health->asked % SP_FEETECH_HEALTH_BLOCKS].width;
    health->asked_ns = sent_ns;
    health->through_ns = sent_ns + bytes * byte_ns + ANSWER_GAP_NS;
}

/* Returns whether it counts: of a motor that is to be told again it does not. */
static int take_settings(sp_feetech_health *health, int i, const uint8_t *registers)
{
    int enabled = registers[0] == 1; /* of register 40 on */
    uint16_t limit = sp_feetech_get16(registers + SP_FEETECH_TORQUE_LIMIT - SP_FEETECH_TORQUE);
    int obeys = health->on && enabled && limit == health->limits[i];
    health->disobeyed |= enabled && !health->on;
    health->heard[i] |= obeys;
    if (health->on && !health->heard[i] && health->repeats[i] < SP_FEETECH_TORQUE_REPEATS) {
        health->unheard = i;
        health->turn = SP_FEETECH_HEALTH_BLOCKS * i + SETTINGS; /* and asked again next, beyond its turn */
        health->first_pass++;
        return 0;
    }
    health->joints[i].torque = obeys;
    return 1;
}

static void take_measured(sp_joint_health *joint, const uint8_t *registers)
{
    uint16_t current = sp_feetech_get16(registers + SP_FEETECH_CURRENT - SP_FEETECH_VOLTAGE);
    joint->voltage = VOLT_PER_UNIT * registers[0]; /* of register 62 on */
    joint->temperature = registers[SP_FEETECH_TEMPERATURE - SP_FEETECH_VOLTAGE];
    joint->error = registers[SP_FEETECH_STATUS - SP_FEETECH_VOLTAGE];
    joint->current = AMPERE_PER_UNIT * abs(sp_feetech_decode(current, SP_FEETECH_SIGN_POSITION));
}

bool sp_feetech_health_take(sp_feetech_health *health, const sp_feetech_packet *packet)
{
    int i = joint_of(health, health->asked), block = health->asked % SP_FEETECH_HEALTH_BLOCKS;
    if (packet->id != health->ids[i] || packet->count != blocks[block].width)
        return false;
    health->asked = -1;
    if (block == SETTINGS && (health->void_settings || !take_settings(health, i, packet->params)))
        return true;
    if (block == MEASURED)
        take_measured(&health->joints[i], packet->params);
    int64_t *stamps_ns = health->stamps_ns[i];
    stamps_ns[block] = health->asked_ns;
    health->joints[i].stamp_ns = stamps_ns[0] < stamps_ns[1] ? stamps_ns[0] : stamps_ns[1];
    return true;
}

void sp_feetech_health_miss(sp_feetech_health *health)
{
    health->asked = -1;
    health->missed++;
}

void sp_feetech_health_give_up(sp_feetech_health *health)
{
    health->repeats[health->unheard] = SP_FEETECH_TORQUE_REPEATS;
    health->unheard = -1;
}

void sp_feetech_health_expect(sp_feetech_health *health, int on, const uint16_t *limits)
{
    if (on && !health->on) {
        memset(health->heard, 0, sizeof health->heard);
        memset(health->repeats, 0, sizeof health->repeats);
        health->turn = 0;
        health->first_pass = health->count;
    }
    health->unheard = -1;
    health->on = on;
    health->void_settings = 1;
    memcpy(health->limits, limits, sizeof *limits * (size_t)health->count);
}
