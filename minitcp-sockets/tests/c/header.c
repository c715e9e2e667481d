/* Does the header stand alone, in C and in C++? */
#include "minitcp.h"
#include "minitcp.h"

int main(void)
{
    struct minitcp_config config;
    config.size = sizeof config;
    return config.size == 0 || MINITCP_NEVER == 0;
}
