#include "server/page.h"

#include <string.h>

#include "server/http.h"

typedef struct page_file {
    const char *path, *type;
    const unsigned char *data;
    const size_t *bytes;
} page_file;

static const page_file FILES[] = {
    {"/", "text/html; charset=utf-8", page_index_html, &page_index_html_bytes},
    {"/style.css", "text/css; charset=utf-8", page_style_css, &page_style_css_bytes},
    {"/markdown.js", "text/javascript; charset=utf-8", page_markdown_js, &page_markdown_js_bytes},
    {"/app.js", "text/javascript; charset=utf-8", page_app_js, &page_app_js_bytes},
};

const char *answer_page(exchange *x, const char *path, buffer *out, api_error *err)
{
    (void)x;
    for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
        const page_file *f = &FILES[i];
        if (strcmp(f->path, path)) continue;
        buffer_append(out, f->data, *f->bytes);
        return f->type;
    }
    api_fail(err, 404, NULL, "%.200s: there is no such path", path);
    return NULL;
}
