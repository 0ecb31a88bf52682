#include "kinematics.h"

#include <string.h>

static void multiply(const double *a, const double *b, double *product)
{
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++)
            product[3 * i + j] = a[3 * i] * b[j] + a[3 * i + 1] * b[3 + j] + a[3 * i + 2] * b[6 + j];
}

/* Rodrigues: R(q) = w w' + cos q (1 - w w') + sin q [w]. A link without a joint is at cosine 1 and sine 0. */
void sp_link_prepare(sp_link *link)
{
    const double *w = link->axis;
    const double cross[9] = {0, -w[2], w[1], w[2], 0, -w[0], -w[1], w[0], 0};
    double along[9], across[9];
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) {
            along[3 * i + j] = w[i] * w[j];
            across[3 * i + j] = (i == j) - w[i] * w[j];
        }
    multiply(link->rotation, along, link->turn[0]);
    multiply(link->rotation, across, link->turn[1]);
    multiply(link->rotation, cross, link->turn[2]);
}

void sp_pose_direction(const sp_pose *pose, const double direction[3], double in_world[3])
{
    const double *r = pose->rotation;
    for (int i = 0; i < 3; i++)
        in_world[i] = r[3 * i] * direction[0] + r[3 * i + 1] * direction[1] + r[3 * i + 2] * direction[2];
}

void sp_pose_point(const sp_pose *pose, const double point[3], double in_world[3])
{
    sp_pose_direction(pose, point, in_world);
    for (int i = 0; i < 3; i++)
        in_world[i] += pose->origin[i];
}

void sp_link_pose(const sp_link *link, const sp_pose *parent, double cosine, double sine, sp_pose *pose)
{
    double turned[9];
    for (int i = 0; i < 9; i++)
        turned[i] = link->turn[0][i] + cosine * link->turn[1][i] + sine * link->turn[2][i];
    if (parent) {
        multiply(parent->rotation, turned, pose->rotation);
        sp_pose_point(parent, link->origin, pose->origin);
        return;
    }
    memcpy(pose->rotation, turned, sizeof turned);
    memcpy(pose->origin, link->origin, sizeof pose->origin);
}
