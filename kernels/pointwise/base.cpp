#include "pointwise/rows.h"
