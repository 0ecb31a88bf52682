/* Which positions one joint passes while it brakes: bounds for any stretch of ticks that hold whatever brake it is, the
 * normal one, the emergency one, or the first until any tick and the second from there.
 *
 * Of all sequences inside the limits that do not turn back, a brake is the one with the least speed at every tick. So
 * the emergency brake, at once, passes below all others and the normal one, for ever, above them (of a joint that
 * moves upwards). Where acceleration under way turns a joint round the order is not so clear: such a joint is
 * bounded by all that either brake passes, and by what a later change may add.
 *
 * Why native: it stands in the tick, for every joint that moves. Thread contract: pure functions of their arguments.
 */
#ifndef SPINAL_SWEEP_H
#define SPINAL_SWEEP_H

#include "brake.h"
#include "limiter.h"

typedef struct sp_sweep {
    double before, position; /* a tick ago, now */
    double scale[2]; /* of a course's displacement: of the normal brake, of the emergency brake */
    brake_course course[2];
    double ticks; /* until the normal brake rests; 0: it stands, and has stood */
    int turns;
    double low, high; /* over the whole brake, the step from `before` included */
} sp_sweep;

void sp_sweep_begin(sp_sweep *sweep, double before, const sp_limiter *joint, const sp_limits *limits,
                    const sp_limits *emergency, double dt_s);

/* Between the ticks `first` and `last`; the step from `before` belongs to 0. */
void sp_sweep_span(const sp_sweep *sweep, double first, double last, double *low, double *high);

/* Where the normal (0) or the emergency brake (1) is after so many ticks. */
double sp_sweep_at(const sp_sweep *sweep, int brake, double tick);

#endif
