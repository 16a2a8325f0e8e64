package cnfork
func dialRole([]string) int { return 0 }
