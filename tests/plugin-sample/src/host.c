// The host: its memory and its errors.

#include "sample.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

// Set once, by the entry, before any other function can be called.
static const ohal_host *host;

enum { OBJECT_ALIGN = 16 };

bool host_take(const ohal_host *given) {
    if (given == NULL || given->magic != OHAL_HOST_MAGIC || given->abi_major != OHAL_ABI_MAJOR || !HAS(ohal_host, given, error_create)) {
        return false;
    }
    host = given;
    return true;
}

void *host_new(uint64_t size) {
    void *object = host->alloc(host, size, OBJECT_ALIGN);
    if (object != NULL) {
        memset(object, 0, size);
    }
    return object;
}

void host_delete(void *object, uint64_t size) {
    host->free(host, object, size, OBJECT_ALIGN);
}

ohal_str text_of(const char *text) {
    return (ohal_str){.data = text, .len = strlen(text)};
}

static ohal_error *error_of(ohal_error_kind kind, ohal_severity severity, ohal_op_kind op, uint64_t sequence, const char *text) {
    const ohal_error_info info = {
        .struct_size = sizeof info,
        .kind = kind,
        .severity = severity,
        .op = op,
        .sequence = sequence,
        .message = text_of(text),
    };
    return host->error_create(host, &info);
}

ohal_error *refuse(ohal_error_kind kind, ohal_op_kind op, const char *format, ...) {
    char text[TEXT_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return error_of(kind, OHAL_SEVERITY_REJECTED, op, OHAL_UNKNOWN, text);
}

ohal_error *no_memory_for(const char *object) {
    return refuse(OHAL_ERROR_OUT_OF_MEMORY, OHAL_NONE, "the host has no memory for %s", object);
}

ohal_error *poisoned(const failure *cause) {
    return error_of(OHAL_ERROR_EXECUTION, OHAL_SEVERITY_STREAM_POISONED, cause->op, cause->sequence, cause->text);
}
