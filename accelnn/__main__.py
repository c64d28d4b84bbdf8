from accelnn.cli import main

raise SystemExit(main())
