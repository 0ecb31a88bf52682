#include "distance.h"

#include <math.h>

static double clamp(double value, double low, double high)
{
    return value < low ? low : value > high ? high : value;
}

static double dot(const double u[3], const double v[3])
{
    return u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
}

/* How far the box is outside of, signed: above its high side, below its low side, else 0. */
static double beyond(double x, double low, double high)
{
    return x < low ? x - low : x > high ? x - high : 0;
}

/* Half the derivative of the squared distance along the segment at the share s: it rises with s, in straight pieces. */
static double slope(const double from[3], const double way[3], const double low[3], const double high[3], double s)
{
    double sum = 0;
    for (int i = 0; i < 3; i++)
        sum += way[i] * beyond(from[i] + s * way[i], low[i], high[i]);
    return sum;
}

double sp_segment_box_distance(const double from[3], const double to[3], const double low[3], const double high[3])
{
    double way[3], first = 0, last = 1, apart = -INFINITY, squared = 0;
    for (int i = 0; i < 3; i++) {
        way[i] = to[i] - from[i];
        apart = fmax(apart, fmax(low[i] - fmax(from[i], to[i]), fmin(from[i], to[i]) - high[i]));
    }
    double falling = slope(from, way, low, high, 0), rising = slope(from, way, low, high, 1);
    /* Between the shares at which it crosses planes of the box, the slope is a straight line: find the piece in which
     * it changes its sign. */
    for (int i = 0; i < 6; i++) {
        double plane = i < 3 ? low[i] : high[i - 3];
        double s = (plane - from[i % 3]) / way[i % 3];
        if (!(s > first && s < last)) /* a way of 0 crosses nothing */
            continue;
        double there = slope(from, way, low, high, s);
        if (there < 0)
            first = s, falling = there;
        else
            last = s, rising = there;
    }
    double s = falling >= 0 ? first : rising <= 0 ? last : first + (last - first) * falling / (falling - rising);
    for (int i = 0; i < 3; i++) {
        double out = beyond(from[i] + s * way[i], low[i], high[i]);
        squared += out * out;
    }
    return squared > 0 ? sqrt(squared) : fmin(apart, 0);
}

static double point_segment_squared(const double point[3], const double from[3], const double way[3], double length)
{
    double to[3] = {point[0] - from[0], point[1] - from[1], point[2] - from[2]};
    double s = length > 0 ? clamp(dot(to, way) / length, 0, 1) : 0;
    for (int i = 0; i < 3; i++)
        to[i] -= s * way[i];
    return dot(to, to);
}

/* The nearest points are inside both segments, or one is an end: both are tried, so that nearly parallel segments,
 * where the first has no good numbers, are judged by their ends. */
double sp_segments_distance(const double a[3], const double b[3], const double c[3], const double d[3])
{
    double u[3], v[3], w[3];
    for (int i = 0; i < 3; i++)
        u[i] = b[i] - a[i], v[i] = d[i] - c[i], w[i] = a[i] - c[i];
    double uu = dot(u, u), vv = dot(v, v), uv = dot(u, v), uw = dot(u, w), vw = dot(v, w);
    double least = fmin(fmin(point_segment_squared(a, c, v, vv), point_segment_squared(b, c, v, vv)),
                        fmin(point_segment_squared(c, a, u, uu), point_segment_squared(d, a, u, uu)));
    double square = uu * vv - uv * uv;
    if (square > 1e-12 * uu * vv) {
        double s = clamp((uv * vw - vv * uw) / square, 0, 1), t = clamp((uu * vw - uv * uw) / square, 0, 1);
        for (int i = 0; i < 3; i++)
            w[i] += s * u[i] - t * v[i];
        least = fmin(least, dot(w, w));
    }
    return sqrt(least);
}
