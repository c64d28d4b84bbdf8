#include "order/rows.h"
