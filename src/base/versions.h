// The versions of all that welford writes and reads back. Each is raised by hand, here, when what it stands for
// changes; files of another version are made anew where they can be, and refused where not. Packs also know what they
// were packed with (runtime/pack/pack_key.h).
#ifndef WELFORD_BASE_VERSIONS_H
#define WELFORD_BASE_VERSIONS_H

// Of the compiler: whenever the same checkpoint would compile to another program.
#define WELFORD_COMPILER_VERSION "20"

// Of the layout of packs, whose keys it is part of (runtime/pack/pack_key.c).
#define PACK_VERSION "2"

// Files begin with these.
enum { MAGIC_BYTES = 8 };
#define PROGRAM_MAGIC "WFPROG11"    // runtime/program/program_file.c
#define EXECUTABLE_MAGIC "WFEXEC04" // runtime/program/executable.h
#define CACHE_MAGIC "WFCACHE1"      // runtime/cache/cache_record.h
#define BUNDLE_MAGIC "WFFILE01"     // format/bundle.h
#define PREFIX_MAGIC "WFPREF01"     // engine/prefix_store.h
#define SESSION_MAGIC "WFSESS01"    // engine/session_file.h

_Static_assert(sizeof PROGRAM_MAGIC - 1 == MAGIC_BYTES && sizeof EXECUTABLE_MAGIC - 1 == MAGIC_BYTES &&
                   sizeof CACHE_MAGIC - 1 == MAGIC_BYTES && sizeof BUNDLE_MAGIC - 1 == MAGIC_BYTES &&
                   sizeof SESSION_MAGIC - 1 == MAGIC_BYTES && sizeof PREFIX_MAGIC - 1 == MAGIC_BYTES,
               "a magic is eight characters");

#endif
