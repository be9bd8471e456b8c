# Writes the small .rda files of this folder, one for each layout that the reader knows: Rscript make.R
# Made with R 4.2.2, SingleCellExperiment 1.20, SeuratObject 4.1.3 and Matrix 1.5. The numbers are made up.
suppressMessages({
  library(SingleCellExperiment)
  library(SeuratObject)
  library(Matrix)
})

genes <- paste0("Gene", 1:7)
cells <- paste0("cell_", 1:12)
x <- outer(1:7, 1:12, function(g, c) pmax((g * c + 2 * g + c) %% 7 - 2, 0))
x[5, c(5, 12)] <- 1 # one count is the smallest value of each cell
dimnames(x) <- list(genes, cells)
sparse <- as(x, "CsparseMatrix")
types <- rep(c("beta", "alpha", "delta"), 4)
size_factor <- 1:12 / 6.5

# SingleCellExperiment: counts in a dgCMatrix, a factor with the types
sce <- SingleCellExperiment(list(counts = sparse), colData = DataFrame(
  type = factor(types), id = paste0(types, "_", 1:12), class = ifelse(1:12 %% 4 == 0, "Doublet", "Singlet")
))
save(sce, file = "sce.rda", compress = "xz")

# SingleCellExperiment: logarithms in a dense matrix, size factors beside the types
logs <- SingleCellExperiment(list(logcounts = log2(t(t(x) / size_factor) + 1)), colData = DataFrame(
  sizeFactor = size_factor, type = types
))
save(logs, file = "logs.rda")

# RangedSummarizedExperiment as Bioconductor wrote it until 2019: the assays in a reference class; genes named by rowRanges
old <- SummarizedExperiment(
  list(count = unname(x)), colData = DataFrame(type = types),
  rowRanges = GRanges("chr1", IRanges(1:7, width = 10, names = genes))
)
assays <- SummarizedExperiment:::.ShallowSimpleListAssays0
old@assays <- assays(data = SimpleList(count = unname(x)))
rm(".refClassDef", envir = as.environment(old@assays)) # 50 kB of code, which rdata 1.1.0 cannot parse
save(old, file = "old.rda", compress = "bzip2")

# The same without reference class, genes named by an empty GRangesList
ranges <- GRangesList(rep(list(GRanges()), 7))
names(ranges) <- genes
listed <- SummarizedExperiment(list(count = unname(x)), colData = DataFrame(type = types), rowRanges = ranges)
save(listed, file = "listed.rda")

# SummarizedExperiment without ranges
bare <- SummarizedExperiment(list(count = unname(x)), colData = DataFrame(type = types))
rownames(bare) <- genes
save(bare, file = "bare.rda", version = 2)

# Seurat version 3
seurat <- suppressWarnings(CreateSeuratObject(sparse, meta.data = data.frame(type = factor(types), row.names = cells)))
save(seurat, file = "seurat.rda")

# Lists: a dgCMatrix and a factor; a matrix without names and the genes beside it; cells x genes and a data frame
scaled <- sparse
scaled@x <- log2(4 * scaled@x + 1)
some <- list(exp = scaled, cellType = factor(types))
named <- list(data = unname(x), gene_names = c(genes[1:6], "ERCC-00002"), annotation = types)
turned <- list(counts = t(x), cell.info = data.frame(cell.type = types, stringsAsFactors = TRUE))
save(some, named, turned, file = "lists.rda")

# Plain objects, in one file and in two
data <- x
pheno <- data.frame(Study_ID = rep(c("A", "B"), 6), Celltype = types)
save(data, pheno, file = "plain.Rdata")
sc_count <- sparse
save(sc_count, file = "matrix.rda")
sc_cluster <- data.frame(cell_name = rev(cells), class_label = rev(types))
save(sc_cluster, file = "table.rda")
celltype <- factor(ifelse(1:12 == 2, NA, types))
save(celltype, file = "vector.rda")
