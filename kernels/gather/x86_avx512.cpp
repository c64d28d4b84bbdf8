#include "gather/rows.h"
