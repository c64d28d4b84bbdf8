#include "arithmetic/rows.h"
