/* The slow-downs of plant.h for a loop in a Python process: a transport around another one. */
#include "plant.h"

const sp_transport *plant_around(const sp_transport *inner, int joints, int (*take)(void), void (*give)(int))
{
    static sp_transport planted;
#if PLANT == PLANT_LOCK
    take_interpreter = take;
    give_interpreter = give;
#else
    (void)take;
    (void)give;
#endif
    planted = plant(*inner, joints);
    return &planted;
}
