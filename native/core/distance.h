/* Distances of line segments: of a segment to an axis-aligned box, and of two segments. A capsule is a segment with a
 * radius, so this is all that the fence needs to know of geometry.
 *
 * Why native: it stands in the tick. Closed form. Thread contract: pure functions of their arguments.
 */
#ifndef SPINAL_DISTANCE_H
#define SPINAL_DISTANCE_H

/* To the box; where they meet, 0 or less: the least by which one axis had to be moved to part them, negated. */
double sp_segment_box_distance(const double from[3], const double to[3], const double low[3], const double high[3]);

/* Of the segments a-b and c-d; either may be a point. */
double sp_segments_distance(const double a[3], const double b[3], const double c[3], const double d[3]);

#endif
