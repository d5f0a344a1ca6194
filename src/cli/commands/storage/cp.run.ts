import { storageCp } from "../../../api/storage-cp.ts";
import { copyWith } from "./copy-with.ts";

export default copyWith(storageCp);
