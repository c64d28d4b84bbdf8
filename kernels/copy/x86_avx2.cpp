#include "copy/rows.h"
