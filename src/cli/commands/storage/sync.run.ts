import { storageSync } from "../../../api/storage-sync.ts";
import { copyWith } from "./copy-with.ts";

export default copyWith(storageSync);
