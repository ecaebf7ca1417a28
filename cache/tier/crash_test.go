package tier

const crashDirectory = "WHERRY_TIER_CRASH_DIR"

func crashChild(string) {}
