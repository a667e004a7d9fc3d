// The one function that the library exports. It stands alone so that tests can put another one in its place.

#include "sample.h"

OHAL_EXPORT const ohal_plugin *ohal_plugin_entry(const ohal_host *host) {
    return sample_table(host);
}
