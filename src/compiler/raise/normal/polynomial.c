#include "compiler/raise/normal/polynomial.h"

static bool multiply(const polynomial *a, const polynomial *b, polynomial *y)
{
    *y = (polynomial){{0}};
    for (int i = 0; i <= MAX_DEGREE; i++)
        for (int j = 0; j <= MAX_DEGREE; j++) {
            double c = a->of[i] * b->of[j];
            if (i + j <= MAX_DEGREE)
                y->of[i + j] += c;
            else if (c != 0)
                return false;
        }
    return true;
}

static bool read(reader *r, const ref *from, const ref *x, polynomial *p, int depth)
{
    enum { MAX_DEPTH = 12 };
    constant c;
    polynomial a, b;
    *p = (polynomial){{0}};
    if (same_value(r, from, x)) {
        p->of[1] = 1;
        return true;
    }
    if (read_constant(r, from, &c)) {
        p->of[0] = c.value;
        return true;
    }
    node n = read_uncast(r, from);
    if (depth > MAX_DEPTH || n.n_in < 1 || n.n_in > 2 || !read(r, &n.in[0], x, &a, depth + 1)) return false;
    if (n.kind == N_POW) {
        if (!read_constant(r, &n.in[1], &c) || (c.value != 2 && c.value != 3)) return false;
        return multiply(&a, &a, p) && (c.value == 2 || (b = *p, multiply(&a, &b, p)));
    }
    if (n.kind == N_NEG || n.kind == N_CAST) {
        for (int i = 0; i <= MAX_DEGREE; i++) p->of[i] = n.kind == N_NEG ? -a.of[i] : a.of[i];
        return true;
    }
    if (n.n_in != 2 || !read(r, &n.in[1], x, &b, depth + 1)) return false;
    if (n.kind == N_MUL) return multiply(&a, &b, p);
    for (int i = 0; i <= MAX_DEGREE; i++) {
        if (n.kind == N_DIV && i > 0 && b.of[i] != 0) return false;
        p->of[i] = n.kind == N_ADD ? a.of[i] + b.of[i] : n.kind == N_SUB ? a.of[i] - b.of[i] : a.of[i] / b.of[0];
    }
    return n.kind == N_ADD || n.kind == N_SUB || n.kind == N_DIV;
}

bool read_polynomial(reader *r, const ref *from, const ref *x, polynomial *p) { return read(r, from, x, p, 0); }
