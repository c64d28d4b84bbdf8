#include "integer/rows.h"
