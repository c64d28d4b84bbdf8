#include "arrange/rows.h"
