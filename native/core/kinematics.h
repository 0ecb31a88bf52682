/* Forward kinematics of a tree of links: each is turned by at most one joint against its parent.
 *
 * Why native: the fence asks in the tick where the arm's links are.
 *
 * Rotations are row-major 3 x 3. Thread contract: pure functions of their arguments.
 */
#ifndef SPINAL_KINEMATICS_H
#define SPINAL_KINEMATICS_H

typedef struct sp_link {
    int parent; /* an earlier link; -1: the world */
    int joint;  /* in the robot file's order; -1: fixed to its parent */
    double origin[3], rotation[9]; /* of its frame in the parent's, at 0 rad */
    double axis[3];                /* of its joint, in its own frame; of unit length */
    double turn[3][9];             /* derived: at q it is turned by turn[0] + cos q turn[1] + sin q turn[2] */
} sp_link;

typedef struct sp_pose {
    double origin[3], rotation[9];
} sp_pose;

/* Fills in what is derived. */
void sp_link_prepare(sp_link *link);

/* Where the link is when its parent is at `parent` (NULL: the world), its joint at this cosine and sine. */
void sp_link_pose(const sp_link *link, const sp_pose *parent, double cosine, double sine, sp_pose *pose);

/* A point of the link's frame in the world. */
void sp_pose_point(const sp_pose *pose, const double point[3], double in_world[3]);

/* A direction of the link's frame in the world. */
void sp_pose_direction(const sp_pose *pose, const double direction[3], double in_world[3]);

#endif
