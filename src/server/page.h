// The page's files, as the build embeds them (cmake/WelfordServer.cmake).
#ifndef WELFORD_SERVER_PAGE_H
#define WELFORD_SERVER_PAGE_H

#include <stddef.h>

extern const unsigned char page_index_html[], page_style_css[], page_markdown_js[], page_app_js[];
extern const size_t page_index_html_bytes, page_style_css_bytes, page_markdown_js_bytes, page_app_js_bytes;

#endif
